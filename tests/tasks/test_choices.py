"""The form "multiple choice" on scores written by hand."""

import math

import pytest
import torch
from torch.nn import functional as F

from lm_lab.tasks import described
from lm_lab.tasks.choices import ChoiceTask, by_question

TASK = ChoiceTask("quiz")
SCORES = torch.tensor([[1.0], [3.0], [0.0], [2.0], [5.0]])  # three options, then two
BATCH = {
    "counts": torch.tensor([3, 2]),
    "labels": torch.tensor([1, 0]),
    "options": [["a", "b", "c"], ["yes", "no"]],
}


def test_scores_stand_by_question_and_missing_options_can_never_win() -> None:
    padded = by_question(SCORES, BATCH["counts"])
    assert padded.tolist() == [[1.0, 3.0, 0.0], [2.0, 5.0, -math.inf]]


def test_the_loss_is_the_cross_entropy_of_each_question_alone() -> None:
    expected = [
        F.cross_entropy(torch.tensor([scores]), torch.tensor([label]))
        for scores, label in (([1.0, 3.0, 0.0], 1), ([2.0, 5.0], 0))
    ]
    scores = SCORES.clone().requires_grad_()
    loss = TASK.loss(scores, BATCH)
    assert loss.item() == pytest.approx(torch.stack(expected).mean().item())
    loss.backward()
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()
    assert scores.grad[3:].sum().item() == pytest.approx(0.0, abs=1e-7)


def test_what_is_judged_and_answered() -> None:
    judged = TASK.judge(SCORES, BATCH)
    assert (judged.values.tolist(), judged.labels.tolist()) == ([1, 1], [1, 0])
    assert TASK.scores(*judged) == {"accuracy": 0.5}
    first, second = TASK.answers(SCORES, BATCH)
    assert (first["prediction"], first["option"]) == ("b", 1)
    assert second["prediction"] == "no"
    assert second["probabilities"] == pytest.approx([1 / (1 + math.e**3), 1 / (1 + math.e**-3)])


def test_one_score_an_option() -> None:
    assert (TASK.outputs, TASK.paired, TASK.labels) == (1, True, ())


def test_a_saved_task_is_the_same() -> None:
    assert described.build(described.describe(TASK)) == TASK

"""SuperGLUE's scores against scikit-learn, and against the official definitions, written here from their text."""

import re
import string
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score

from lm_lab.metrics import accuracy, f1_macro
from lm_lab.tasks.answer_sets import AnswerSetTask
from lm_lab.tasks.cloze import ClozeTask

DRAW = np.random.default_rng(0)


def test_cbs_scores_are_scikit_learns() -> None:
    for _ in range(20):
        true, said = DRAW.integers(0, 3, 40), DRAW.integers(0, 3, 40)
        assert accuracy(said, true) == pytest.approx(accuracy_score(true, said))
        assert f1_macro(said, true) == pytest.approx(f1_score(true, said, average="macro"))


def test_multircs_scores_are_f1_over_all_answers_and_exact_match_of_questions() -> None:
    """F1a: F1 of the label 1 over all answer options of the set. EM: questions without any wrong decision."""
    for _ in range(20):
        counts = DRAW.integers(1, 6, 12)
        logits, true = DRAW.normal(size=counts.sum()), DRAW.integers(0, 2, counts.sum())
        task = AnswerSetTask("multirc")
        judged = task.judge(
            torch.tensor(logits)[:, None], {"counts": torch.tensor(counts), "right": torch.tensor(true).float()}
        )
        said, by_question = (logits > 0).astype(int), defaultdict(list)
        for question, pair in zip(np.repeat(np.arange(12), counts), zip(said, true, strict=True), strict=True):
            by_question[question].append(pair)
        exact = np.mean([all(a == b for a, b in pairs) for pairs in by_question.values()])
        found = task.scores(*judged)
        assert found["option_f1"] == pytest.approx(f1_score(true, said, zero_division=0))
        assert found["question_exact"] == pytest.approx(exact)


def test_multirc_by_hand() -> None:
    """Two questions: two of three decisions right, then both right. Said and right 2, said 3, right 2: F1 is 4/5."""
    outputs = torch.tensor([[2.0], [1.0], [-1.0], [3.0], [-2.0]])
    batch = {"counts": torch.tensor([3, 2]), "right": torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0])}
    found = AnswerSetTask("multirc").scores(*AnswerSetTask("multirc").judge(outputs, batch))
    assert found == {"option_f1": pytest.approx(0.8), "question_exact": 0.5}


def _normal(text: str) -> list[str]:
    """As the paper on SQuAD says: lower case, no punctuation, no articles, words between spaces."""
    bare = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


def _official(said: str, golds: list[str]) -> tuple[float, float]:
    exact = max(float(_normal(said) == _normal(gold)) for gold in golds)
    best = 0.0
    for gold in golds:
        shared = sum((Counter(_normal(said)) & Counter(_normal(gold))).values())
        if shared:
            precision, recall = shared / len(_normal(said)), shared / len(_normal(gold))
            best = max(best, 2 * precision * recall / (precision + recall))
    return exact, best


@pytest.mark.parametrize(
    ("said", "golds", "expected"),
    [
        ("Barack Obama", ["Obama", "Barack Obama"], (1.0, 1.0)),
        ("Obama", ["President Barack Obama"], (0.0, 0.5)),
        ("the U.S.", ["US"], (1.0, 1.0)),
        ("Rome", ["Oslo"], (0.0, 0.0)),
        ("New York City", ["York", "New York"], (0.0, 0.8)),
    ],
)
def test_records_scores_are_the_best_over_the_gold_answers(
    said: str, golds: list[str], expected: tuple[float, float]
) -> None:
    batch = {"counts": torch.tensor([2]), "candidates": [["nobody else", said]], "golds": [golds]}
    task = ClozeTask("record")
    judged = task.judge(torch.tensor([[0.0], [1.0]]), batch)
    found = task.scores(*judged)
    assert (found["exact_match"], found["answer_f1"]) == pytest.approx(expected)
    assert _official(said, golds) == pytest.approx(expected)

"""The form "token classification" on batches written by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lm_lab.errors import UsageError
from lm_lab.metrics import entity_f1, entity_precision, entity_recall, token_accuracy
from lm_lab.tasks import described
from lm_lab.tasks.tags import TagTask

TASK = TagTask("ner", ("O", "B-PER", "I-PER", "B-LOC"))

# two sentences: of the first the third word is lost and the second begins at token 3; the second has one word
FIRST = torch.tensor([[1, 3, -1], [1, -1, -1]])
LABELS = torch.tensor([[1, 2, 3], [3, -100, -100]])
BATCH = {"first": FIRST, "labels": LABELS}


def outputs(*rows: dict[int, int]) -> torch.Tensor:
    """Scores (b, 5, 4) that choose a tag at some positions and B-LOC at the others, which no word may look at."""
    scores = torch.zeros(len(rows), 5, 4)
    scores[..., 3] = 5.0
    for row, chosen in enumerate(rows):
        for position, tag in chosen.items():
            scores[row, position, tag] = 9.0
    return scores


SCORES = outputs({1: 1, 3: 2}, {1: 3})


def test_a_word_has_the_tag_of_its_first_token_and_a_lost_one_is_o() -> None:
    answers = TASK.answers(SCORES, BATCH)
    assert answers == [{"prediction": ["B-PER", "I-PER", "O"]}, {"prediction": ["B-LOC"]}]


def test_a_lost_entity_counts_as_missed() -> None:
    values, gold = TASK.judge(SCORES, BATCH)
    assert values.tolist() == [[1, 1, 2, 3], [1, 1, 1, 1]]
    assert gold.tolist() == [2, 1]
    assert values.dtype == gold.dtype == torch.double
    assert TASK.scores(values, gold) == {"entity_f1": pytest.approx(2 * 2 / (2 + 3))}
    assert TASK.detailed(values, gold) == pytest.approx(
        {"entity_precision": 1.0, "entity_recall": 2 / 3, "token_accuracy": 3 / 4}
    )


def test_o_is_found_by_name() -> None:
    task = TagTask("ner", ("B-PER", "I-PER", "B-LOC", "O"))
    assert task.answers(SCORES, BATCH)[0]["prediction"][2] == "O"


def test_without_entities_every_score_is_zero() -> None:
    counts, gold = np.array([[0.0, 0.0, 3.0, 3.0]]), np.zeros(1)
    assert [metric(counts, gold) for metric in (entity_f1, entity_precision, entity_recall)] == [0, 0, 0]
    assert token_accuracy(counts, gold) == 1


def test_the_loss_is_cross_entropy_over_first_tokens() -> None:
    scores = torch.randn(2, 5, 4)
    words = [(0, 1, 1), (0, 3, 2), (1, 1, 3)]  # sentence, token, tag
    expected = torch.stack([F.cross_entropy(scores[s, t], torch.tensor(tag)) for s, t, tag in words]).mean()
    assert TASK.loss(scores, BATCH).item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_loss_of_a_batch_without_words_is_zero_and_has_a_gradient() -> None:
    scores = torch.randn(1, 5, 4, requires_grad=True)
    loss = TASK.loss(scores, {"first": torch.tensor([[-1]]), "labels": torch.tensor([[2]])})
    loss.backward()
    assert loss.item() == 0
    assert scores.grad is not None
    assert not scores.grad.any()


def test_the_task_comes_back_from_what_is_saved() -> None:
    assert described.build(described.describe(TASK)) == TASK


@pytest.mark.parametrize("labels", [("B-PER", "I-PER"), ("O", "PER"), ("O", "B-PER", "B-PER"), ("O", "L-PER"), ()])
def test_labels_that_are_no_bio_tags(labels: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"the tags of 'ner' are .*expected O and, once each, tags of the form B-x"):
        TagTask("ner", labels)

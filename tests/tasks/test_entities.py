"""Entities by hand, and against seqeval on random sequences."""

import warnings
from random import Random

import pytest
import torch
from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities

from lm_lab.metrics import entity_f1, entity_precision, entity_recall, token_accuracy
from lm_lab.tasks.entities import entities, is_bio, is_bioes, vocabulary
from lm_lab.tasks.tags import TagTask, count

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-creative-work", "I-creative-work")


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("", set()),
        ("O O", set()),
        ("B-PER I-PER O B-LOC", {("PER", 0, 2), ("LOC", 3, 4)}),
        ("B-PER B-PER", {("PER", 0, 1), ("PER", 1, 2)}),
        ("I-PER I-PER O", {("PER", 0, 2)}),
        ("O I-PER", {("PER", 1, 2)}),
        ("B-PER I-LOC I-LOC", {("PER", 0, 1), ("LOC", 1, 3)}),
        ("B-creative-work I-creative-work", {("creative-work", 0, 2)}),
        ("B-PER O I-PER", {("PER", 0, 1), ("PER", 2, 3)}),
    ],
)
def test_entities_by_hand(tags: str, expected: set) -> None:
    assert entities(tags.split()) == expected


def drawn(seed: int) -> tuple[list[list[str]], list[list[str]]]:
    """Sentences of gold and predicted tags, of any length from none on; some predictions keep most of the gold."""
    rng = Random(seed)
    gold = [rng.choices(TAGS, weights=(4, 1, 2, 1, 2, 1, 1), k=rng.randrange(12)) for _ in range(rng.randrange(1, 30))]
    kept = rng.choice((0.0, 0.5, 0.9))
    return gold, [[tag if rng.random() < kept else rng.choice(TAGS) for tag in tags] for tags in gold]


@pytest.mark.parametrize("seed", range(200))
def test_entities_are_seqevals(seed: int) -> None:
    for tags in drawn(seed)[0]:
        assert entities(tags) == {(kind, start, last + 1) for kind, start, last in get_entities(tags)}


@pytest.mark.parametrize("seed", range(200))
def test_scores_from_sums_are_seqevals(seed: int) -> None:
    gold, predicted = drawn(seed)
    values, labels = (each.numpy() for each in judged(gold, predicted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval warns where it divides by zero and then gives 0, as here
        pairs = ((entity_f1, f1_score), (entity_precision, precision_score), (entity_recall, recall_score))
        for ours, theirs in pairs:
            assert ours(values, labels) == pytest.approx(theirs(gold, predicted), abs=1e-12), ours.__name__
        if any(gold):
            assert token_accuracy(values, labels) == pytest.approx(accuracy_score(gold, predicted), abs=1e-12)


def judged(gold: list[list[str]], predicted: list[list[str]]) -> tuple[torch.Tensor, torch.Tensor]:
    """What the task keeps of sentences whose every word is one token, in batches of seven."""
    task = TagTask("drawn", TAGS)
    batches = [batch(gold[i : i + 7], predicted[i : i + 7]) for i in range(0, len(gold), 7)]
    parts = [task.judge(*part) for part in batches]
    return torch.cat([part.values for part in parts]), torch.cat([part.labels for part in parts])


def batch(gold: list[list[str]], predicted: list[list[str]]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    width = max(map(len, gold), default=0) or 1
    outputs, labels = torch.zeros(len(gold), width, len(TAGS)), torch.full((len(gold), width), -100)
    for row, (true, said) in enumerate(zip(gold, predicted, strict=True)):
        for word, (a, b) in enumerate(zip(true, said, strict=True)):
            labels[row, word], outputs[row, word, TAGS.index(b)] = TAGS.index(a), 1.0
    first = torch.arange(width).expand(len(gold), -1).masked_fill(labels == -100, -1)
    return outputs, {"labels": labels, "first": first}


def test_what_is_a_bio_tag() -> None:
    assert all(map(is_bio, TAGS))
    assert not any(map(is_bio, ("", "B", "B-", "PER", "S-PER", "o", "b-PER", "BPER", "U-x")))


def test_the_vocabulary_puts_o_first_and_sorts_the_rest() -> None:
    assert vocabulary(["I-a", "B-b", "O", "B-a", "B-b"]) == ("O", "B-a", "B-b", "I-a")
    assert vocabulary([]) == ("O",)


BIOES = (*TAGS, "E-PER", "S-PER", "E-LOC", "S-LOC")


@pytest.mark.parametrize("seed", range(200))
def test_entities_of_bioes_are_seqevals(seed: int) -> None:
    rng = Random(seed)
    gold, predicted = ([rng.choices(BIOES, k=9) for _ in range(5)] for _ in range(2))
    for tags in gold:
        assert entities(tags) == {(kind, start, last + 1) for kind, start, last in get_entities(tags)}
    counts = torch.tensor([count(*pair) for pair in zip(predicted, gold, strict=True)], dtype=torch.double).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert entity_f1(counts[:, :4], counts[:, 4]) == pytest.approx(f1_score(gold, predicted), abs=1e-12)


def test_bioes_by_hand() -> None:
    tags = ["S-PER", "B-PER", "E-PER", "B-LOC", "I-LOC", "E-LOC", "E-LOC", "O", "I-LOC"]
    assert entities(tags) == {
        ("PER", 0, 1), ("PER", 1, 3), ("LOC", 3, 6), ("LOC", 6, 7), ("LOC", 8, 9),
    }  # fmt: skip
    assert all(map(is_bioes, BIOES))
    assert not any(map(is_bioes, ("L-PER", "U-PER", "E-", "NOUN")))

"""Metrics that add up what is known of each example: answers to questions, entities of sentences, texts' ROUGE.

answers    predictions (n, 2): exact match and F1; labels: 1 for a question that has an answer
entities   predictions (n, 4): right and predicted entities, right words, words; labels: true entities
trees      predictions (n, 4): right roots and roots, right nodes and nodes
options    predictions (n, 3): options that are predicted and right, predicted, 1 if all are judged right; labels: right
ROUGE      predictions (n, 3): ROUGE-1, ROUGE-2 and ROUGE-L F
"""

import math

from lm_lab.metrics.arrays import Array

RIGHT, PREDICTED, RIGHT_WORDS, WORDS = range(4)


def exact_match(predictions: Array, labels: Array) -> float:  # noqa: ARG001
    """Share of answers that match exactly."""
    return _mean(predictions[:, 0])


def answer_f1(predictions: Array, labels: Array) -> float:  # noqa: ARG001
    """Mean F1 of the answers."""
    return _mean(predictions[:, 1])


def has_answer_exact(predictions: Array, labels: Array) -> float:
    """Exact match of the questions that have an answer."""
    return exact_match(predictions[labels == 1], labels)


def has_answer_f1(predictions: Array, labels: Array) -> float:
    """F1 of the questions that have an answer."""
    return answer_f1(predictions[labels == 1], labels)


def no_answer_accuracy(predictions: Array, labels: Array) -> float:
    """Share of the questions without an answer that are left unanswered: their exact match and their F1."""
    return exact_match(predictions[labels == 0], labels)


def entity_f1(predictions: Array, labels: Array) -> float:
    """F1 over the entities of all sentences; 0 without any."""
    return _share(2 * predictions[:, RIGHT].sum(), predictions[:, PREDICTED].sum() + labels.sum())


def entity_precision(predictions: Array, labels: Array) -> float:  # noqa: ARG001
    """Share of the predicted entities that are right; 0 without any."""
    return _share(predictions[:, RIGHT].sum(), predictions[:, PREDICTED].sum())


def entity_recall(predictions: Array, labels: Array) -> float:
    """Share of the true entities that were found; 0 without any."""
    return _share(predictions[:, RIGHT].sum(), labels.sum())


def token_accuracy(predictions: Array, labels: Array) -> float:  # noqa: ARG001
    """Share of the words with the right tag. Most words are O, so it is high for nothing."""
    return _share(predictions[:, RIGHT_WORDS].sum(), predictions[:, WORDS].sum())


def root_accuracy(predictions: Array, labels: Array) -> float:  # noqa: ARG001
    """Share of trees whose root has the right label."""
    return _share(predictions[:, RIGHT].sum(), predictions[:, PREDICTED].sum())


def node_accuracy(predictions: Array, labels: Array) -> float:  # noqa: ARG001
    """Share of the labelled nodes of trees with the right label."""
    return _share(predictions[:, RIGHT_WORDS].sum(), predictions[:, WORDS].sum())


def option_f1(predictions: Array, labels: Array) -> float:
    """F1 over the options of all questions, MultiRC's F1a; 0 without any that is right or predicted."""
    return _share(2 * predictions[:, 0].sum(), predictions[:, 1].sum() + labels.sum())


def question_exact(predictions: Array, labels: Array) -> float:  # noqa: ARG001
    """Share of the questions whose options are all judged right, MultiRC's exact match."""
    return _mean(predictions[:, 2])


def rouge1(predictions: Array, labels: Array) -> float:  # noqa: ARG001
    """Mean F of shared words."""
    return _mean(predictions[:, 0])


def rouge2(predictions: Array, labels: Array) -> float:  # noqa: ARG001
    """Mean F of shared pairs of words."""
    return _mean(predictions[:, 1])


def rougeL(predictions: Array, labels: Array) -> float:  # noqa: ARG001, N802  its name in the field
    """Mean F of the longest common subsequence."""
    return _mean(predictions[:, 2])


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else math.nan


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0

"""Metrics of classes: one an example, or k at once, each yes or no.

Predictions are (n,), or (n, 2k): for each of k classes whether it is predicted, then whether it is true. A prediction
of -1 is no class: it is wrong whatever the label is. Degenerate cases are scikit-learn's with zero_division=0.
"""

import math

import numpy as np

from lm_lab.metrics.arrays import Array


def accuracy(predictions: Array, labels: Array) -> float:
    """Share of predictions that equal their label."""
    return float(np.count_nonzero(predictions == labels) / len(labels)) if len(labels) else math.nan


def f1(predictions: Array, labels: Array) -> float:
    """F1 of class 1, GLUE's for MRPC and QQP; 0 where neither predictions nor labels have a 1."""
    positive, real = predictions == 1, labels == 1
    both = np.count_nonzero(positive) + np.count_nonzero(real)
    return float(2 * np.count_nonzero(positive & real) / both) if both else 0.0


def f1_macro(predictions: Array, labels: Array) -> float:
    """Mean F1 of the classes: of those that are predicted or true, or of all k."""
    return float(np.mean(_class_f1(predictions, labels)[0]))


def f1_weighted(predictions: Array, labels: Array) -> float:
    """Mean F1 of the classes, each counted as often as it is true."""
    found, true = _class_f1(predictions, labels)
    return float(found @ true / true.sum()) if true.any() else 0.0


def f1_micro(predictions: Array, labels: Array) -> float:
    """F1 over all decisions: the accuracy, where every prediction is a class of its own."""
    if predictions.ndim == 1:
        right, marked = np.count_nonzero(predictions == labels), np.count_nonzero(predictions >= 0) + len(labels)
    else:
        given, true = np.split(predictions, 2, axis=1)
        right, marked = (given * true).sum(), given.sum() + true.sum()
    return float(2 * right / marked) if marked else 0.0


def subset_accuracy(predictions: Array, labels: Array) -> float:  # noqa: ARG001
    """Share of the examples whose k classes are all right; predictions (n, 2k)."""
    given, true = np.split(predictions, 2, axis=1)
    return float((given == true).all(axis=1).mean())


def matthews(predictions: Array, labels: Array) -> float:
    """Matthews correlation of any number of classes (Gorodkin 2004); 0 if predictions or labels are constant."""
    classes, numbers = np.unique(np.concatenate([labels, predictions]), return_inverse=True)
    true, found = np.split(numbers, 2)
    table = np.bincount(true * len(classes) + found, minlength=len(classes) ** 2)
    table = table.reshape(len(classes), len(classes)).astype(float)
    real, given, n = table.sum(axis=1), table.sum(axis=0), table.sum()
    spread = (n**2 - given @ given) * (n**2 - real @ real)
    return float((np.trace(table) * n - real @ given) / np.sqrt(spread)) if spread else 0.0


def _class_f1(predictions: Array, labels: Array) -> tuple[Array, Array]:
    """F1 of each class and how often it is true, (k,) each; of a class a text: those that are predicted or true."""
    if predictions.ndim == 2:
        given, true = np.split(predictions, 2, axis=1)
    else:
        classes = np.unique(np.concatenate([predictions, labels]))
        classes = classes[classes >= 0]
        given, true = ((values[:, None] == classes).astype(float) for values in (predictions, labels))
    marked = given.sum(axis=0) + true.sum(axis=0)
    return 2 * (given * true).sum(axis=0) / np.maximum(marked, 1), true.sum(axis=0)

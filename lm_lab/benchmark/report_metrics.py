"""The metrics of all tasks in numpy, for the bootstrap: the same values as those of `lm_lab.tasks`, much faster.

All take labels (n,) and predictions (n,), or (n, k) where an example adds k counts. An undefined correlation counts
as 0, as a task's score does.
"""

import numpy as np

from lm_lab.benchmark.statistics import Array, Metric


def accuracy(predictions: Array, labels: Array) -> float:
    """Share of predictions that equal their label."""
    return float(np.count_nonzero(predictions == labels) / len(labels))


def f1(predictions: Array, labels: Array) -> float:
    """F1 of class 1; 0 where neither predictions nor labels have a 1."""
    positive, real = predictions == 1, labels == 1
    both = np.count_nonzero(positive) + np.count_nonzero(real)
    return float(2 * np.count_nonzero(positive & real) / both) if both else 0.0


def matthews(predictions: Array, labels: Array) -> float:
    """Matthews correlation of any number of classes (Gorodkin 2004)."""
    classes = int(max(predictions.max(), labels.max())) + 1
    table = np.bincount((labels * classes + predictions).astype(np.int64), minlength=classes**2)
    table = table.reshape(classes, classes).astype(float)
    real, given, n = table.sum(axis=1), table.sum(axis=0), table.sum()
    spread = (n**2 - given @ given) * (n**2 - real @ real)
    return float((np.trace(table) * n - real @ given) / np.sqrt(spread)) if spread else 0.0


def pearson(predictions: Array, labels: Array) -> float:
    """Pearson's r."""
    x, y = predictions - predictions.mean(), labels - labels.mean()
    spread = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / spread) if spread > 0 else 0.0


def spearman(predictions: Array, labels: Array) -> float:
    """Spearman's rho with average ranks for ties."""
    return pearson(_ranks(predictions), _ranks(labels))


def exact_match(predictions: Array, labels: Array) -> float:  # noqa: ARG001
    """Share of answers that match exactly; predictions (n, 2) of exact match and F1."""
    return float(predictions[:, 0].mean())


def answer_f1(predictions: Array, labels: Array) -> float:  # noqa: ARG001
    """Mean F1 of answers; predictions as in `exact_match`."""
    return float(predictions[:, 1].mean())


def entity_f1(predictions: Array, labels: Array) -> float:
    """F1 over all entities; predictions (n, k) begin with right and predicted entities, labels count true ones."""
    both = predictions[:, 1].sum() + labels.sum()
    return float(2 * predictions[:, 0].sum() / both) if both else 0.0


def rouge1(predictions: Array, labels: Array) -> float:  # noqa: ARG001
    """Mean ROUGE-1 F; predictions (n, 3) of ROUGE-1, ROUGE-2 and ROUGE-L."""
    return float(predictions[:, 0].mean())


def rouge2(predictions: Array, labels: Array) -> float:  # noqa: ARG001
    """Mean ROUGE-2 F; predictions as in `rouge1`."""
    return float(predictions[:, 1].mean())


def rougeL(predictions: Array, labels: Array) -> float:  # noqa: ARG001, N802  its name in the field
    """Mean ROUGE-L F; predictions as in `rouge1`."""
    return float(predictions[:, 2].mean())


METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "f1": f1,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
    "exact_match": exact_match,
    "answer_f1": answer_f1,
    "entity_f1": entity_f1,
    "rouge1": rouge1,
    "rouge2": rouge2,
    "rougeL": rougeL,
}


def _ranks(values: Array) -> Array:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Array = (last - (counts - 1) / 2)[inverse]
    return ranks

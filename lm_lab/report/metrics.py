"""The metrics of all tasks in numpy, for the bootstrap: the same values as those of `lm_lab.tasks`, much faster.

All take labels (n,) and predictions (n,), or (n, k) where an example adds k counts. An undefined correlation counts
as 0, as a task's score does.
"""

import numpy as np

from lm_lab.report.statistics import Array, Metric


def accuracy(predictions: Array, labels: Array) -> float:
    """Share of predictions that equal their label."""
    return float(np.count_nonzero(predictions == labels) / len(labels))


def f1(predictions: Array, labels: Array) -> float:
    """F1 of class 1; 0 where neither predictions nor labels have a 1."""
    positive, real = predictions == 1, labels == 1
    both = np.count_nonzero(positive) + np.count_nonzero(real)
    return float(2 * np.count_nonzero(positive & real) / both) if both else 0.0


def f1_macro(predictions: Array, labels: Array) -> float:
    """Mean F1 of the classes that are predicted or true; predictions (n,), or (n, 2k) of k classes at once."""
    return float(np.mean(_class_f1(predictions, labels)[0]))


def f1_weighted(predictions: Array, labels: Array) -> float:
    """Mean F1 of the classes, each counted as often as it is true; predictions as in `f1_macro`."""
    found, true = _class_f1(predictions, labels)
    return float(found @ true / true.sum()) if true.any() else 0.0


def f1_micro(predictions: Array, labels: Array) -> float:
    """F1 over all decisions; predictions as in `f1_macro`."""
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
    """Matthews correlation of any number of classes (Gorodkin 2004)."""
    classes, numbers = np.unique(np.concatenate([labels, predictions]), return_inverse=True)
    true, found = np.split(numbers, 2)
    table = np.bincount(true * len(classes) + found, minlength=len(classes) ** 2)
    table = table.reshape(len(classes), len(classes)).astype(float)
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
    "f1_macro": f1_macro,
    "f1_micro": f1_micro,
    "f1_weighted": f1_weighted,
    "subset_accuracy": subset_accuracy,
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

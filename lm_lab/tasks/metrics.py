"""GLUE's metrics as pure functions of predictions (n,) and labels (n,).

They are torchmetrics' functions with the degenerate cases set to what scikit-learn and scipy return: Matthews of a
constant prediction is 0 (torchmetrics: -0.01 or 1), a correlation with a constant is undefined, nan.
"""

import math

from torch import Tensor
from torchmetrics.functional import pearson_corrcoef, spearman_corrcoef
from torchmetrics.functional.classification import binary_f1_score, multiclass_matthews_corrcoef


def accuracy(predictions: Tensor, labels: Tensor) -> float:
    """Share of predictions that equal their label."""
    return (predictions == labels).double().mean().item()


def f1(predictions: Tensor, labels: Tensor) -> float:
    """F1 of class 1, GLUE's for MRPC and QQP; 0 where neither predictions nor labels have a 1."""
    return binary_f1_score(predictions.long(), labels.long()).item()


def matthews(predictions: Tensor, labels: Tensor) -> float:
    """Matthews correlation of any number of classes (Gorodkin 2004); 0 if predictions or labels are constant."""
    if _constant(predictions) or _constant(labels):
        return 0.0
    classes = int(max(predictions.max(), labels.max())) + 1
    return multiclass_matthews_corrcoef(predictions.long(), labels.long(), num_classes=max(classes, 2)).item()


def pearson(predictions: Tensor, labels: Tensor) -> float:
    """Pearson's r; nan if predictions or labels are constant."""
    if _constant(predictions) or _constant(labels):
        return math.nan
    return pearson_corrcoef(predictions.double(), labels.double()).item()


def spearman(predictions: Tensor, labels: Tensor) -> float:
    """Spearman's rho with average ranks for ties; nan if predictions or labels are constant."""
    if _constant(predictions) or _constant(labels):
        return math.nan
    return spearman_corrcoef(predictions.double(), labels.double()).item()


def _constant(values: Tensor) -> bool:
    return bool((values == values[0]).all())

"""Metrics as pure functions of predictions (n,) and labels (n,).

A prediction of -1 is no class: it is wrong whatever the label is. Degenerate cases are what scikit-learn and scipy
return: Matthews of a constant prediction is 0, a correlation with a constant is undefined, nan. Averages of F1 are over
the classes that are predicted or true, as scikit-learn takes them by default.
"""

import math

import torch
from torch import Tensor
from torchmetrics.functional import pearson_corrcoef, spearman_corrcoef
from torchmetrics.functional.classification import multiclass_matthews_corrcoef


def accuracy(predictions: Tensor, labels: Tensor) -> float:
    """Share of predictions that equal their label."""
    return (predictions == labels).double().mean().item()


def f1(predictions: Tensor, labels: Tensor) -> float:
    """F1 of class 1, GLUE's for MRPC and QQP; 0 where neither predictions nor labels have a 1."""
    right = ((predictions == 1) & (labels == 1)).sum()
    return _share(2 * right, (predictions == 1).sum() + (labels == 1).sum())


def f1_macro(predictions: Tensor, labels: Tensor) -> float:
    """Mean of the classes' F1."""
    return _class_f1(predictions, labels)[0].mean().item()


def f1_weighted(predictions: Tensor, labels: Tensor) -> float:
    """Mean of the classes' F1, each counted as often as its class is true."""
    found, true = _class_f1(predictions, labels)
    return _share((found * true).sum(), true.sum())


def f1_micro(predictions: Tensor, labels: Tensor) -> float:
    """F1 of right, predicted and true labels of all classes: the accuracy, where every prediction is a class."""
    return _share(2 * (predictions == labels).sum(), (predictions >= 0).sum() + len(labels))


def matthews(predictions: Tensor, labels: Tensor) -> float:
    """Matthews correlation of any number of classes (Gorodkin 2004); 0 if predictions or labels are constant."""
    if _constant(predictions) or _constant(labels):
        return 0.0
    classes, numbers = torch.cat([predictions, labels.to(predictions)]).unique(return_inverse=True)
    found, true = numbers.chunk(2)
    return multiclass_matthews_corrcoef(found, true, num_classes=len(classes)).item()


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


def _class_f1(predictions: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """F1 of each class that is predicted or true, and how often it is true, (k,) each."""
    classes = torch.cat([predictions, labels.to(predictions)]).unique()
    classes = classes[classes >= 0].unsqueeze(1)
    found, true = predictions == classes, labels.to(predictions) == classes
    return 2 * (found & true).sum(1) / (found.sum(1) + true.sum(1)).double(), true.sum(1)


def _share(part: Tensor, whole: Tensor | int) -> float:
    return float(part / whole) if whole else 0.0

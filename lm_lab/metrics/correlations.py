"""Correlations of graded scores; undefined, nan, where either side is constant, as scipy has it."""

import math

import numpy as np

from lm_lab.metrics.arrays import Array


def pearson(predictions: Array, labels: Array) -> float:
    """Pearson's r."""
    if _constant(predictions) or _constant(labels):
        return math.nan
    x, y = predictions - predictions.mean(), labels - labels.mean()
    spread = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / spread) if spread > 0 else math.nan


def spearman(predictions: Array, labels: Array) -> float:
    """Spearman's rho with average ranks for ties."""
    return pearson(_ranks(predictions), _ranks(labels))


def _constant(values: Array) -> bool:
    """By equality: the deviations of a constant from its mean need not be 0. The last is looked at first, for speed."""
    return bool(values[0] == values[-1] and (values == values[0]).all())


def _ranks(values: Array) -> Array:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Array = (last - (counts - 1) / 2)[inverse]
    return ranks

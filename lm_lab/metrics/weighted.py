"""Scores of many resamples at once: an example counts as often as it was drawn.

A metric that is a function of sums over examples needs no resample laid out: with how often each example was drawn,
W (d, n), the sums of every draw are one product of matrices, W @ columns. A resample that this leaves undefined, and
every resample of a metric that is no function of sums, is laid out and scored with the metric itself.
"""

import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lm_lab.metrics import classes, correlations, counts
from lm_lab.metrics.arrays import Array, Metric
from lm_lab.metrics.ranked import Side, rank_correlations, ranked

Columns = Callable[[Any, Any], list[Any]]  # of predictions (s, n, ...) and labels (n,): what is summed, (s, n) each
Value = Callable[[list[Any], int], Any]  # of the sums, (d, s) each, and n: the scores (d, s); nan: not by these sums
_BLOCK = 2**24  # numbers of W that are in memory as floats
_NEAR = 1e-6  # share of a second moment below which a variance may be rounding


class Resamples:
    """Resamples of `n` examples with replacement, the same ones for the same seed.

    Args:
        n: how many examples.
        draws: how many resamples.
        seed: of the draws.
    """

    def __init__(self, n: int, draws: int, seed: int) -> None:
        generator = np.random.default_rng(seed)
        counted = (np.bincount(generator.integers(n, size=n), minlength=n) for _ in range(draws))
        kind = np.float32 if draws * n <= _BLOCK else np.uint16  # what products want, or what takes less memory
        self.weights = np.stack([row.astype(kind) for row in counted])  # (d, n)
        self._labels: Array | None = None
        self._side: tuple[Side, NDArray[np.float32]] | None = None

    def scores(self, metric: Metric, predictions: Array, labels: Array) -> Array:
        """The metric of each resample (d, s) for each seed's predictions (s, n) or (s, n, k); 0 where undefined."""
        if metric is correlations.spearman:
            return rank_correlations(predictions, *self._ranked(labels))
        return _scores(metric, predictions, labels, self.weights)

    def _ranked(self, labels: Array) -> tuple[Side, NDArray[np.float32]]:
        """The labels' side, kept for the next predictions of the same examples."""
        if self._side is None or self._labels is None or not np.array_equal(self._labels, labels):
            across = np.ascontiguousarray(self.weights.T, dtype=np.float32)
            self._labels, self._side = labels, (ranked(labels, across), across)
        return self._side


resamples = lru_cache(maxsize=2)(Resamples)  # a task's strategies share them, and a task may have two sets of examples


def _scores(metric: Metric, predictions: Array, labels: Array, weights: NDArray[Any]) -> Array:
    if metric not in _SUMS:
        found = np.full((len(weights), len(predictions)), math.nan)
    else:
        columns, value = _SUMS[metric]
        with np.errstate(all="ignore"):
            found = value(_sums(columns(predictions, labels), weights), len(labels))
    for draw, seed in np.argwhere(np.isnan(found)):
        chosen = np.repeat(np.arange(len(labels)), weights[draw].astype(np.intp))
        found[draw, seed] = np.nan_to_num(metric(predictions[seed][chosen], labels[chosen]))
    return found


def _sums(columns: Iterable[Any], weights: NDArray[Any]) -> list[Array]:
    """Sums of each column over the examples of each draw, (d, s)."""
    listed = [np.atleast_2d(column) for column in columns]
    stacked = np.concatenate(listed).T  # (n, all of them)
    kind = np.float32 if stacked.dtype == bool and len(stacked) < 2**24 else np.float64  # whole numbers stay exact
    stacked, step = stacked.astype(kind), max(1, _BLOCK // len(stacked))
    blocks = [weights[at : at + step].astype(kind, copy=False) @ stacked for at in range(0, len(weights), step)]
    ends = np.cumsum([len(column) for column in listed])[:-1]
    return [part.astype(np.float64) for part in np.split(np.concatenate(blocks), ends, axis=1)]


def _share(part: Any, whole: Any) -> Any:
    return np.where(whole == 0, 0.0, part / np.where(whole == 0, 1, whole))


def _mean_of(column: Callable[[Any, Any], Any]) -> tuple[Columns, Value]:
    return (lambda p, y: [column(p, y)]), (lambda sums, n: sums[0] / n)


def _mean_where(label: int, column: int) -> tuple[Columns, Value]:
    """Over the examples with this label; undefined without any."""
    return (lambda p, y: [p[..., column] * (y == label), y == label]), (lambda sums, _: sums[0] / sums[1])


def _ratio(part: Callable[[Any, Any], Any], whole: Callable[[Any, Any], Any]) -> tuple[Columns, Value]:
    return (lambda p, y: [part(p, y), whole(p, y)]), (lambda sums, _: _share(*sums))


def _class_columns(p: Array, y: Array) -> list[Any]:
    """Right ones, then how often each class is true, then predicted."""
    known = np.unique(np.concatenate([y, p.ravel()]))
    return [p == y, *(y == one for one in known), *(p == one for one in known)]


def _matthews(sums: list[Array], n: int) -> Any:
    right, k = sums[0], len(sums) // 2
    true, found = sums[1 : k + 1], sums[k + 1 :]
    across = sum(t * f for t, f in zip(true, found, strict=True))
    spread = (n**2 - sum(f * f for f in found)) * (n**2 - sum(t * t for t in true))
    return np.where(spread == 0, 0.0, (right * n - across) / np.sqrt(np.where(spread == 0, 1, spread)))


def _moments(p: Array, y: Array) -> list[Any]:
    x, y = p - p.mean(axis=1, keepdims=True), y - y.mean()
    return [x, y, x * x, y * y, x * y]


def _pearson(sums: list[Array], n: int) -> Any:
    x, y, xx, yy, xy = sums
    own, other = xx - x * x / n, yy - y * y / n
    known = (own > _NEAR * xx) & (other > _NEAR * yy)
    return np.where(known, (xy - x * y / n) / np.sqrt(own * other), math.nan)


_SUMS: dict[Metric, tuple[Columns, Value]] = {
    classes.accuracy: _mean_of(lambda p, y: p == y),
    classes.f1: (
        lambda p, y: [(p == 1) & (y == 1), p == 1, y == 1],
        lambda sums, _: _share(2 * sums[0], sums[1] + sums[2]),
    ),
    classes.matthews: (_class_columns, _matthews),
    correlations.pearson: (_moments, _pearson),
    counts.exact_match: _mean_of(lambda p, _: p[..., 0]),
    counts.answer_f1: _mean_of(lambda p, _: p[..., 1]),
    counts.has_answer_exact: _mean_where(1, 0),
    counts.has_answer_f1: _mean_where(1, 1),
    counts.no_answer_accuracy: _mean_where(0, 0),
    counts.entity_f1: _ratio(lambda p, _: 2 * p[..., counts.RIGHT], lambda p, y: p[..., counts.PREDICTED] + y),
    counts.entity_precision: _ratio(lambda p, _: p[..., counts.RIGHT], lambda p, _: p[..., counts.PREDICTED]),
    counts.entity_recall: _ratio(lambda p, _: p[..., counts.RIGHT], lambda _, y: y),
    counts.token_accuracy: _ratio(lambda p, _: p[..., counts.RIGHT_WORDS], lambda p, _: p[..., counts.WORDS]),
    counts.root_accuracy: _ratio(lambda p, _: p[..., counts.RIGHT], lambda p, _: p[..., counts.PREDICTED]),
    counts.node_accuracy: _ratio(lambda p, _: p[..., counts.RIGHT_WORDS], lambda p, _: p[..., counts.WORDS]),
    counts.rouge1: _mean_of(lambda p, _: p[..., 0]),
    counts.rouge2: _mean_of(lambda p, _: p[..., 1]),
    counts.rougeL: _mean_of(lambda p, _: p[..., 2]),
    classes.subset_accuracy: _mean_of(
        lambda p, _: (p[..., : p.shape[-1] // 2] == p[..., p.shape[-1] // 2 :]).all(axis=-1)
    ),
}

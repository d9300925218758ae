"""Uncertainty of scores and of their differences: pure functions of arrays.

Two things vary and both are counted: the training seed (few: 3 or 5) and the validation examples (hundreds or
thousands, the same for every strategy, so comparisons are paired by example).

Shapes: `s` seeds, `n` examples, `d` bootstrap draws. A metric is a function (predictions (n,), labels (n,)) ->
float. Papers: Efron and Tibshirani 1993 (bootstrap), Yeh 2000 (approximate randomisation), McNemar 1947,
Holm 1979. docs/statistics.md gives the measured coverage and says when which one is meant.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Metric = Callable[[Any, Any], float]

DRAWS = 2000
LEVEL = 0.95


class Interval(NamedTuple):
    """A mean over seeds, its sample standard deviation and the interval of the mean (NaN for one seed)."""

    mean: float
    std: float
    low: float
    high: float
    n: int

    @property
    def half(self) -> float:
        """Half the width: the number after the plus-minus sign."""
        return (self.high - self.low) / 2


class Resampled(NamedTuple):
    """A strategy's score for each seed, and the same on each resample of the examples."""

    scores: Array  # (s,)
    draws: Array  # (d, s)


class Difference(NamedTuple):
    """Score of one strategy minus another's, with its interval and two-sided p-value."""

    estimate: float
    low: float
    high: float
    p: float


def t_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Return Student's t interval of the mean; with 3 seeds it is 2.5 standard deviations to each side."""
    n = len(values)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, math.nan, 0)
    mean = float(np.mean(values))
    if n == 1:
        return Interval(mean, math.nan, math.nan, math.nan, 1)
    std = float(np.std(values, ddof=1))
    half = _t_quantile((1 + level) / 2, n - 1) * std / math.sqrt(n)
    return Interval(mean, std, mean - half, mean + half, n)


def welch_p(a: Sequence[float], b: Sequence[float]) -> float:
    """Two-sided p of Welch's t-test between two groups of seed scores; NaN with fewer than two of either."""
    from scipy import stats

    if min(len(a), len(b)) < 2:
        return math.nan
    parts = [np.var(x, ddof=1) / len(x) for x in (a, b)]
    gap = abs(float(np.mean(a) - np.mean(b)))
    if sum(parts) == 0:
        return float(gap == 0)
    freedom = sum(parts) ** 2 / sum(v**2 / (len(x) - 1) for v, x in zip(parts, (a, b), strict=True))
    return float(2 * stats.t.sf(gap / math.sqrt(sum(parts)), freedom))


def resample(predictions: Array, labels: Array, metric: Metric, draws: int = DRAWS, seed: int = 0) -> Resampled:
    """Score `draws` resamples of the examples, with replacement, for each seed's predictions (s, n).

    The same `seed` and `n` give the same resamples, which is what pairs two strategies by example.
    """
    generator = np.random.default_rng(seed)
    n = len(labels)
    drawn = np.empty((draws, len(predictions)))
    for row in drawn:
        chosen = generator.integers(n, size=n)
        row[:] = [metric(each[chosen], labels[chosen]) for each in predictions]
    return Resampled(np.array([metric(each, labels) for each in predictions]), drawn)


def with_seeds(resampled: Resampled, generator: np.random.Generator, how: Literal["t", "resample"] = "t") -> Array:
    """Return draws (d,) of the mean over seeds that vary with the seeds as well as with the examples.

    "t" adds the seed mean's own uncertainty: Student's t with s - 1 degrees of freedom, of the spread between
    seeds that is beyond what the examples explain (that part the draws already have). "resample" draws s seeds
    with replacement, the textbook two-level bootstrap, which is too narrow for 3 seeds that differ.
    """
    scores, draws = resampled
    d, s = draws.shape
    if s == 1:
        return draws[:, 0]
    if how == "resample":
        return np.take_along_axis(draws, generator.integers(s, size=(d, s)), axis=1).mean(axis=1)
    # the mean spread within a draw is the seeds' own plus twice the examples'; one of these is in the draws
    variance = max(0.0, 2 * scores.var(ddof=1) - draws.var(axis=1, ddof=1).mean())
    return draws.mean(axis=1) + math.sqrt(variance / s) * generator.standard_t(s - 1, size=d)


def difference(a: Array, b: Array, estimate: float, level: float = LEVEL) -> Difference:
    """Percentile interval and p-value of a score difference from paired draws (d,) of the two scores.

    The p-value inverts the interval: the smallest 1 - level at which it would leave out zero; it is never
    under 2 / (d + 1).
    """
    gap = a - b
    low, high = np.quantile(gap, [(1 - level) / 2, (1 + level) / 2])
    beyond = min(np.count_nonzero(gap <= 0), np.count_nonzero(gap >= 0))
    return Difference(estimate, float(low), float(high), float(min(1.0, 2 * (1 + beyond) / (len(gap) + 1))))


def bootstrap_difference(
    a: Array, b: Array, labels: Array, metric: Metric, draws: int = DRAWS, seed: int = 0
) -> Difference:
    """Compare predictions a (s, n) with b (s', n) on the same n examples, over examples and seeds."""
    first, second = (resample(each, labels, metric, draws, seed) for each in (a, b))
    generator = np.random.default_rng([seed, 1])
    estimate = float(first.scores.mean() - second.scores.mean())
    return difference(with_seeds(first, generator), with_seeds(second, generator), estimate)


def randomisation_p(a: Array, b: Array, labels: Array, metric: Metric, rounds: int = DRAWS, seed: int = 0) -> float:
    """Two-sided p of the paired approximate randomisation test between a (s, n) and b (s, n).

    Swaps the two systems' outputs example by example at random. It speaks of these trained models and new
    examples; the seeds are taken as given.
    """
    generator = np.random.default_rng(seed)

    def gap(left: Array, right: Array) -> float:
        pairs = zip(left, right, strict=True)
        return abs(float(np.mean([metric(x, labels) - metric(y, labels) for x, y in pairs])))

    observed = gap(a, b)
    beyond = 0
    for _ in range(rounds):
        swap = generator.random(a.shape) < 0.5
        # the tolerance keeps ties ties when the metric sums floats in another order
        beyond += gap(np.where(swap, b, a), np.where(swap, a, b)) >= observed - 1e-12
    return (1 + beyond) / (rounds + 1)


def mcnemar_p(a_correct: NDArray[np.bool_], b_correct: NDArray[np.bool_]) -> float:
    """Exact two-sided McNemar p for two classifiers' correctness (n,) on the same examples."""
    from scipy import stats

    only_a = int(np.count_nonzero(a_correct & ~b_correct))
    only_b = int(np.count_nonzero(b_correct & ~a_correct))
    if only_a + only_b == 0:
        return 1.0
    return float(stats.binomtest(only_a, only_a + only_b, 0.5).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's step-down adjusted p-values, in the given order; rejecting those <= 5% holds the family."""
    adjusted = [0.0] * len(p_values)
    worst = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        worst = max(worst, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = worst
    return adjusted


def _t_quantile(probability: float, freedom: int) -> float:
    from scipy import stats

    return float(stats.t.ppf(probability, freedom))

"""Uncertainty of scores and of their differences: pure functions of arrays.

Two things vary and both are counted: the training seed (few: 3 or 5) and the validation examples (hundreds or
thousands, the same for every strategy, so comparisons are paired by example). Tasks are independent.

Shapes: `s` seeds, `n` examples, `d` bootstrap draws. A metric is a function (predictions (n,), labels (n,)) ->
float. Papers: Efron and Tibshirani 1993 (bootstrap), Satterthwaite 1946 and Welch 1947 (variances that add up),
Holm 1979. docs/statistics.md gives the measured coverage and says when which one is meant.
"""

import math
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple, Self

import numpy as np

from lm_lab.metrics import Array, Metric, accuracy, score
from lm_lab.metrics.weighted import resamples

DRAWS = 2000
LEVEL = 0.95


class Interval(NamedTuple):
    """A mean over seeds, or of several tasks' means, with what its 95% interval is made of; NaN for one seed.

    An interval ends where the scale of its score does.
    """

    mean: float
    std: float  # sample deviation of a seed; of an average, that of the mean of one seed of each task
    n: int  # seeds; of an average, those of the task that has the fewest
    error: float  # standard error of the mean
    freedom: float  # degrees of freedom of the error
    least: float = -math.inf  # that the score can be
    most: float = math.inf

    @property
    def half(self) -> float:
        """Half the width, where the scale does not end it: the number after the plus-minus sign."""
        return _quantile(self.freedom) * self.error

    @property
    def low(self) -> float:
        """Lower end."""
        return math.nan if math.isnan(self.half) else max(self.mean - self.half, self.least)

    @property
    def high(self) -> float:
        """Upper end."""
        return math.nan if math.isnan(self.half) else min(self.mean + self.half, self.most)

    def within(self, least: float, most: float) -> Self:
        """The same on a scale that has ends."""
        return self._replace(least=least, most=most)


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


def t_interval(values: Sequence[float]) -> Interval:
    """Return Student's t interval of the mean; with 3 seeds it is 2.5 standard deviations to each side."""
    return average_interval([values])


def average_interval(tasks: Sequence[Sequence[float]]) -> Interval:
    """Return the interval of the mean of task means, from the seed scores of each task.

    The variances of independent tasks add up, v_t = s_t^2 / n_t / T^2, and the freedom of the sum is Satterthwaite's.
    So it depends on neither the numbers nor the order of seeds, which have nothing in common across tasks.
    """
    n = min(map(len, tasks), default=0)
    if n == 0:
        return Interval(math.nan, math.nan, 0, math.nan, math.nan)
    mean = float(np.mean([np.mean(values) for values in tasks]))
    if n == 1:
        return Interval(mean, math.nan, 1, math.nan, math.nan)
    spreads = [float(np.var(values, ddof=1)) / len(tasks) ** 2 for values in tasks]
    parts = [(spread / len(values), len(values) - 1.0) for spread, values in zip(spreads, tasks, strict=True)]
    total = sum(variance for variance, _ in parts)
    return Interval(mean, math.sqrt(sum(spreads)), n, math.sqrt(total), satterthwaite(total, parts))


def satterthwaite(total: float, parts: Iterable[tuple[float, float]]) -> float:
    """Degrees of freedom of an estimated variance `total`, whose estimated parts are (variance, freedom).

    What `total` has beyond its parts counts as known. Satterthwaite 1946: total^2 / sum(variance^2 / freedom).
    """
    uncertain = sum(variance**2 / freedom for variance, freedom in parts)
    return total**2 / uncertain if uncertain else math.inf


def welch_p(a: Interval, b: Interval) -> float:
    """Two-sided p of Welch's t-test between two means over seeds; NaN where one of them has no error."""
    variances = a.error**2, b.error**2
    total = sum(variances)
    if math.isnan(total):
        return math.nan
    return _two_sided(a.mean - b.mean, total, satterthwaite(total, zip(variances, (a.freedom, b.freedom), strict=True)))


def resample(predictions: Array, labels: Array, metric: Metric, draws: int = DRAWS, seed: int = 0) -> Resampled:
    """Score `draws` resamples of the examples, with replacement, for each seed's predictions (s, n).

    The same `seed` and `n` give the same resamples, which is what pairs two strategies by example.
    """
    whole = np.array([score(metric, each, labels) for each in predictions])
    return Resampled(whole, resamples(len(labels), draws, seed).scores(metric, predictions, labels))


def example_interval(values: Array, labels: Array, metric: Metric, draws: int = DRAWS) -> tuple[float, float]:
    """95% interval of one run's score over its examples; values (n,) or (n, k), labels (n,); NaN below two examples.

    Wilson's for accuracy (Wilson 1927), else the bootstrap's percentiles: both stay on the score's scale. What another
    training seed would change is not in it.
    """
    n = len(labels)
    if n < 2:
        return math.nan, math.nan
    if metric is not accuracy:
        found = resample(values[None], labels, metric, draws).draws[:, 0]
        low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return float(low), float(high)
    p, z = score(metric, values, labels), _quantile(math.inf)
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def average_difference(tasks: Sequence[tuple[Resampled, Resampled]]) -> Difference:
    """Compare two strategies on the average of tasks, or on one: the first of each pair minus the second.

    The variance is that of the paired draws, which are of the examples, plus what the seeds add to it; its freedom is
    Satterthwaite's over strategies and tasks. Seeds are independent samples: docs/statistics.md says why.
    """
    gaps = np.mean([a.draws.mean(axis=1) - b.draws.mean(axis=1) for a, b in tasks], axis=0)
    estimate = float(np.mean([a.scores.mean() - b.scores.mean() for a, b in tasks]))
    groups = [each for pair in tasks for each in pair if len(each.scores) > 1]
    own = sum(_beyond_examples(each) / len(each.scores) for each in groups)
    total = float(gaps.var(ddof=1)) + max(0.0, own) / len(tasks) ** 2
    parts = [(each.scores.var(ddof=1) / len(each.scores) / len(tasks) ** 2, len(each.scores) - 1.0) for each in groups]
    freedom = satterthwaite(total, parts)
    half = _quantile(freedom) * math.sqrt(total)
    return Difference(estimate, estimate - half, estimate + half, _two_sided(estimate, total, freedom))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's step-down adjusted p-values, in the given order; rejecting those <= 5% holds the family."""
    adjusted = [0.0] * len(p_values)
    worst = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        worst = max(worst, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = worst
    return adjusted


def _beyond_examples(resampled: Resampled) -> float:
    """Variance between seeds that the examples do not explain; below nought where chance has it so.

    A draw's spread between seeds is the seeds' own plus the examples' share in it, which the draws already have.
    """
    return float(2 * resampled.scores.var(ddof=1) - resampled.draws.var(axis=1, ddof=1).mean())


def _two_sided(gap: float, variance: float, freedom: float) -> float:
    from scipy import stats

    if variance == 0:
        return float(gap == 0)
    return float(2 * stats.t.sf(abs(gap) / math.sqrt(variance), freedom))


@cache
def _quantile(freedom: float) -> float:
    from scipy import stats

    return float(stats.t.ppf((1 + LEVEL) / 2, freedom))

"""Spearman's rho of many resamples: ranks are counted along the order of the whole sample, which is sorted once.

In a resample, the average rank of a value is the number of examples below it plus half of one more than those that
equal it. Deviations from the mean rank are halves of whole numbers, so every sum is exact.
"""

from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lm_lab.metrics.arrays import Array

_LANES = 256  # draws that are counted side by side: in vector instructions, and within the cache


class Side(NamedTuple):
    """What one side of a correlation adds to each draw."""

    weighed: NDArray[np.float32]  # (n, d), each example's deviation from the mean rank times how often it was drawn
    spread: Array  # (d,), the sum of squared deviations


def ranked(values: Array, weights: NDArray[np.float32]) -> Side:
    """The labels' side, which all predictions share; weights (n, d)."""
    order, starts = _order(values)
    weighed, spread = np.zeros_like(weights), np.zeros(weights.shape[1])
    below = np.zeros(weights.shape[1])
    for begin, end in pairwise(starts):
        run = order[begin:end]
        count = weights[run].sum(axis=0, dtype=np.float64)
        rank = below + (count - len(values)) / 2
        weighed[run] = weights[run] * rank.astype(np.float32)
        spread += count * rank * rank
        below += count
    return Side(weighed, spread)


def rank_correlations(predictions: Array, side: Side, weights: NDArray[np.float32]) -> Array:
    """Rho of each resample (d,) for each seed's predictions (s, n); 0 where either side is constant."""
    found = np.zeros((weights.shape[1], len(predictions)))
    for seed, values in enumerate(predictions):
        both, own = _compiled()(*_order(values), weights, side.weighed)
        spread = own * side.spread
        found[:, seed] = np.divide(both, np.sqrt(spread), out=np.zeros_like(both), where=spread > 0)
    return found


def _order(values: Array) -> tuple[Any, Any]:
    """Places of the values from the least to the greatest; where each run of equal ones begins, and the end."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    return order, np.append(starts, len(values))


@cache
def _compiled() -> Any:
    """Compiled when first used: importing numba takes half a second, and most metrics need no ranks."""
    from numba import njit

    return njit(nogil=True, cache=True)(_correlate)


def _correlate(order: Any, starts: Any, weights: Any, weighed: Any) -> Any:
    """Sums of products of deviations with the other side's, and of their squares, (d,) each."""
    n, draws = weights.shape
    both, own, below = np.zeros(draws), np.zeros(draws), np.zeros(draws)
    for first in range(0, draws, _LANES):
        last = min(first + _LANES, draws)
        product, square, under = both[first:last], own[first:last], below[first:last]
        counts, others = np.zeros(last - first, np.float32), np.zeros(last - first, np.float32)
        for run in range(len(starts) - 1):
            row = order[starts[run]]
            count, other = weights[row, first:last], weighed[row, first:last]
            if starts[run + 1] > starts[run] + 1:  # ties share their rank
                for lane in range(last - first):
                    counts[lane], others[lane] = count[lane], other[lane]
                for place in range(starts[run] + 1, starts[run + 1]):
                    for lane in range(last - first):
                        counts[lane] += weights[order[place], first + lane]
                        others[lane] += weighed[order[place], first + lane]
                count, other = counts, others
            for lane in range(last - first):
                rank = under[lane] + (count[lane] - n) / 2
                product[lane] += rank * other[lane]
                square[lane] += count[lane] * rank * rank
                under[lane] += count[lane]
    return both, own

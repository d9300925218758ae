"""Spearman's rho of many resamples: ranks are counted along the order of the whole sample, which is sorted once.

In a resample, the average rank of a value is the number of examples below it plus half of one more than those that
equal it. Deviations from the mean rank are halves of whole numbers, so every sum is exact.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lm_lab.metrics.arrays import Array


def rank_correlations(predictions: Array, labels: Array, weights: NDArray[np.uint16]) -> Array:
    """Rho of each resample (d,) for each seed's predictions (s, n); 0 where either side is constant."""
    sides, correlate = _loops()
    weighed, spread = sides(*_order(labels), weights)
    found = np.zeros((len(weights), len(predictions)))
    for seed, values in enumerate(predictions):
        both, own = correlate(*_order(values), weights, weighed)
        found[:, seed] = np.divide(both, np.sqrt(own * spread), out=found[:, seed], where=own * spread > 0)
    return found


def _order(values: Array) -> tuple[Any, Any]:
    """Places of the values from the least to the greatest, and where each run of equal ones begins, and the end."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    return order, np.append(starts, len(values))


@cache
def _loops() -> tuple[Any, Any]:
    """Compiled when first used: importing numba takes half a second, and most metrics need no ranks."""
    from numba import njit

    return njit(nogil=True)(_sides), njit(nogil=True)(_correlate)


def _sides(order: Any, starts: Any, weights: Any) -> Any:
    """Each example's deviation from the mean rank times its weight (d, n), and the sum of squares (d,)."""
    draws, n = weights.shape
    weighed, spread = np.zeros((draws, n)), np.zeros(draws)
    for d in range(draws):
        below = 0.0
        for run in range(len(starts) - 1):
            count = 0.0
            for place in range(starts[run], starts[run + 1]):
                count += weights[d, order[place]]
            rank = below + (count - n) / 2
            for place in range(starts[run], starts[run + 1]):
                weighed[d, order[place]] = weights[d, order[place]] * rank
            spread[d] += count * rank * rank
            below += count
    return weighed, spread


def _correlate(order: Any, starts: Any, weights: Any, weighed: Any) -> Any:
    """Sums of products with the other side, and of squares, (d,) each."""
    draws, n = weights.shape
    both, own = np.zeros(draws), np.zeros(draws)
    for d in range(draws):
        below, product, square = 0.0, 0.0, 0.0
        for run in range(len(starts) - 1):
            count, other = 0.0, 0.0
            for place in range(starts[run], starts[run + 1]):
                count += weights[d, order[place]]
                other += weighed[d, order[place]]
            rank = below + (count - n) / 2
            product += rank * other
            square += count * rank * rank
            below += count
        both[d], own[d] = product, square
    return both, own

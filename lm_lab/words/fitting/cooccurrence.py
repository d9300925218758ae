"""GloVe's counts of words that meet, and its step, compiled.

    X_ij = sum over i and j at most `window` apart in a line of 1 / distance
    J = sum_ij min(1, (X_ij / x_max)^power) (w_i . w~_j + b_i + b~_j - log X_ij)^2

AdaGrad as in the authors' program: accumulators begin at 1 and add the squares of what the rate has been multiplied
with.
"""

from typing import Any

import numpy as np

from lm_lab.words.fitting.steps import compiled

_EMPTY = np.int64(-1)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_FIRST = 2**20  # slots


def meetings(ids: np.ndarray, ends: np.ndarray, size: int, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of words below `size`: keys i * size + j with i <= j, rising, and X_ij, which is X_ji, in float32."""
    known = ids < size  # words that are left out leave no gap, as in the authors' program
    ends = np.concatenate([[0], known.cumsum()])[ends]
    ids = ids[known]
    keys, values = np.full(_FIRST, _EMPTY), np.zeros(_FIRST, np.float32)
    used, line, place = 0, 0, 0
    while line < len(ends):
        line, place, used = count(ids, ends, size, window, line, place, keys, values, used)
        if line < len(ends):  # too full
            keys, values = grown(keys, values)
    order = np.argsort(keys[keys != _EMPTY])
    return keys[keys != _EMPTY][order], values[keys != _EMPTY][order]


@compiled
def slot(key: Any, keys: Any) -> Any:
    """Where a key stands, or would."""
    mask = len(keys) - 1
    place = np.int64((np.uint64(key) * _MIX) >> np.uint64(20)) & mask
    while keys[place] != key and keys[place] != _EMPTY:
        place = (place + 1) & mask
    return place


@compiled
def grown(keys: Any, values: Any) -> Any:
    """The same table with four times the slots."""
    wider, held = np.full(4 * len(keys), _EMPTY), np.zeros(4 * len(keys), np.float32)
    for place in range(len(keys)):
        if keys[place] != _EMPTY:
            found = slot(keys[place], wider)
            wider[found], held[found] = keys[place], values[place]
    return wider, held


@compiled
def count(ids: Any, ends: Any, size: Any, window: Any, line: Any, place: Any, keys: Any, values: Any, used: Any) -> Any:
    """Count on from a place in a line until the end, or until the table is two thirds full; where that was."""
    while line < len(ends):
        start = ends[line - 1] if line else 0
        for middle in range(max(start, place), ends[line]):
            if 3 * (used + window) > 2 * len(keys):
                return line, middle, used
            for other in range(max(start, middle - window), middle):
                low, high = min(ids[middle], ids[other]), max(ids[middle], ids[other])
                found = slot(np.int64(low) * size + high, keys)
                if keys[found] == _EMPTY:
                    keys[found] = np.int64(low) * size + high
                    used += 1
                weight = np.float32(1) / np.float32(middle - other)
                values[found] += weight + weight if low == high else weight  # the diagonal from both sides
        line += 1
        place = 0
    return line, place, used


@compiled
def glove(
    keys: Any, logs: Any, weights: Any, vectors: Any, contexts: Any, vector_sums: Any, context_sums: Any, rate: Any
) -> Any:
    """One pass over pairs, each from either side; the summed cost.

    Args:
        keys: of `meetings`, in the order of the pass.
        logs, weights: log X and min(1, (X / x_max)^power).
        vectors, contexts: (V, d + 1) with the bias in the last column.
        vector_sums, context_sums: their accumulators.
        rate: learning rate.
    """
    size, cost = len(vectors), 0.0
    for pair in range(len(keys)):
        low, high = keys[pair] // size, keys[pair] % size
        cost += glove_step(vectors, contexts, vector_sums, context_sums, low, high, logs[pair], weights[pair], rate)
        if low != high:
            cost += glove_step(vectors, contexts, vector_sums, context_sums, high, low, logs[pair], weights[pair], rate)
    return cost


@compiled
def glove_step(
    vectors: Any, contexts: Any, vector_sums: Any, context_sums: Any, i: Any, j: Any, log: Any, weight: Any, rate: Any
) -> Any:
    """The step of word i and context j; its cost."""
    d = vectors.shape[1] - 1
    difference = vectors[i, d] + contexts[j, d] - log
    for k in range(d):
        difference += vectors[i, k] * contexts[j, k]
    error = weight * difference * rate
    for k in range(d):
        mine, its = error * contexts[j, k], error * vectors[i, k]
        vectors[i, k] -= mine / np.sqrt(vector_sums[i, k])
        contexts[j, k] -= its / np.sqrt(context_sums[j, k])
        vector_sums[i, k] += mine * mine
        context_sums[j, k] += its * its
    vectors[i, d] -= error / np.sqrt(vector_sums[i, d])
    contexts[j, d] -= error / np.sqrt(context_sums[j, d])
    vector_sums[i, d] += error * error
    context_sums[j, d] += error * error
    return np.float32(0.5) * weight * difference * difference

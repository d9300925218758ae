"""One update of an input against rows of outputs, compiled: what every model of windows is made of.

    g_j = rate (label_j - sigmoid(x . y_j))      x += sum_j g_j y_j      y_j += g_j x

All products are taken first, then all sigmoids, which go into vector instructions side by side.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit

Function = TypeVar("Function", bound=Callable)
ONE, HALF, BOUND = np.float32(1), np.float32(0.5), np.float32(9)
_LEAST = np.float32(1e-7)  # of a probability, in a loss
_MULTIPLIER, _INCREMENT, _UPPER = np.uint64(6364136223846793005), np.uint64(1442695040888963407), np.uint64(32)


def compiled(function: Function) -> Function:
    """The function as machine code, kept on disk, that leaves other threads their turn."""
    made: Function = njit(fastmath=True, nogil=True, error_model="numpy", cache=True)(function)
    return made


@compiled
def drawn(state: Any) -> Any:
    """The next state of a linear congruential generator; `bits` are its random ones."""
    return state * _MULTIPLIER + _INCREMENT


@compiled
def bits(state: Any) -> Any:
    """32 random bits."""
    return state >> _UPPER


@compiled
def below(state: Any, bound: Any) -> Any:
    """A whole number from 0 to before `bound`."""
    return np.int64((bits(state) * np.uint64(bound)) >> _UPPER)


@compiled
def sigmoid(x: Any) -> Any:
    """To about seven digits, as a quotient of polynomials (Eigen's of tanh) that goes into vector instructions."""
    x = min(max(x * HALF, -BOUND), BOUND)
    y = x * x
    p = np.float32(-2.76076847742355e-16) * y + np.float32(2.00018790482477e-13)
    p = p * y + np.float32(-8.60467152213735e-11)
    p = p * y + np.float32(5.12229709037114e-08)
    p = p * y + np.float32(1.48572235717979e-05)
    p = p * y + np.float32(6.37261928875436e-04)
    p = (p * y + np.float32(4.89352455891786e-03)) * x
    q = np.float32(1.19825839466702e-06) * y + np.float32(1.18534705686654e-04)
    q = q * y + np.float32(2.26843463243900e-03)
    q = q * y + np.float32(4.89352518554385e-03)
    return HALF + HALF * p / q


@compiled
def update(hidden: Any, gradient: Any, outputs: Any, targets: Any, labels: Any, n: Any, rate: Any, g: Any) -> None:
    """Add to `gradient` what x, which stays as it is, is to change by, and update `targets[:n]` of outputs (V, d).

    Args:
        hidden: x (d,).
        gradient: (d,).
        outputs, targets, n: the rows y; of one that comes twice, the second goes on from what the first has left.
        labels: 1 or 0, of each.
        rate: learning rate.
        g: (>= n,) gets the errors times the rate.
    """
    d = len(hidden)
    for j in range(n):
        target, total = targets[j], np.float32(0)
        for k in range(d):
            total += hidden[k] * outputs[target, k]
        g[j] = total
    for j in range(n):
        g[j] = (labels[j] - sigmoid(g[j])) * rate
    for j in range(n):
        target, error = targets[j], g[j]
        for k in range(d):
            value = outputs[target, k]
            gradient[k] += error * value
            outputs[target, k] = value + error * hidden[k]


@compiled
def loss(g: Any, n: Any, rate: Any) -> Any:
    """The negative log likelihood of the labels that left these errors, summed."""
    total = 0.0
    for j in range(n):
        total -= np.log(max(_LEAST, ONE - abs(g[j]) / rate))
    return total

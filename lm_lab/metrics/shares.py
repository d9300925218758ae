"""A share of successes and how sure it is."""

import math

_Z = 1.959963984540054


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share of `n`: it stays between 0 and 1, and is not of width 0 there."""
    middle, half = share + _Z**2 / (2 * n), _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    scale = 1 + _Z**2 / n
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)

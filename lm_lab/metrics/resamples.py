"""How sure a score is that nothing else is known of: the bootstrap (Efron and Tibshirani 1993)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_DRAWS = 1000


def bootstrap(score: Callable[[NDArray[np.int64]], float], count: int, seed: int = 0) -> tuple[float, float]:
    """The middle 95% of a score over 1,000 resamples of `count` examples, drawn with replacement.

    Args:
        score: of the places (count,) that were drawn; resamples on which it is nan, such as a correlation with a
            constant, are left out.
        count: of examples, 1 or more.
        seed: the same one draws the same resamples.
    """
    found = np.array([score(places) for places in np.random.default_rng(seed).integers(count, size=(_DRAWS, count))])
    known = found[~np.isnan(found)]
    low, high = np.quantile(known, (0.025, 0.975)) if len(known) else (np.nan, np.nan)
    return float(low), float(high)

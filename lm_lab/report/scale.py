"""Where an axis of scores ends: at what most points have, so that one run that fell over does not squeeze the rest."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from lm_lab.report.curves import Point

_FENCE = 3.0  # times the quartiles' distance beyond them: Tukey 1977 calls what is outside "far out"
_WORTH = 2.0  # times the axis that the rest needs: what takes less room than that is drawn where it is
_LEAST = 2.0  # points that the quartiles count as apart at least: equal scores have no far out


class Scale(NamedTuple):
    """Ends of an axis, in points."""

    bottom: float
    top: float

    def at(self, score: float) -> float:
        """Where a score is drawn: at the end of the axis, if it lies beyond."""
        return min(max(score, self.bottom), self.top)

    def beyond(self, score: float) -> bool:
        """True for a score that has no place on the axis."""
        return score != self.at(score)


def scale(points: Sequence[Point]) -> Scale:
    """The scale of the seeds' scores, and of as much of their intervals as a quarter of it holds at each end."""
    seeds = np.array([100 * score for point in points for score in point.scores.values()])
    first, third = np.percentile(seeds, [25, 75])
    far = _FENCE * max(third - first, _LEAST)
    near = seeds[(seeds >= first - far) & (seeds <= third + far)]
    if np.ptp(seeds) <= _WORTH * max(np.ptp(near), _LEAST):
        near = seeds
    low, high = float(near.min()), float(near.max())
    room = (high - low) / 4
    ends = [min(max(end, low - room), high + room) for point in points for end in _ends(point)]
    low, high = min([low, *ends]), max([high, *ends])
    pad = max(0.06 * (high - low), 0.5)
    return Scale(low - pad, high + pad)


def _ends(point: Point) -> Iterable[float]:
    return [100 * end for end in (point.interval.low, point.interval.high) if end == end]  # NaN is not itself

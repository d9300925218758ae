"""The losses of an epoch, each over all that it is a mean of: tokens, pairs or rows, of every batch and process.

A mean of batch means would weigh a token by the length of its batch's texts.
"""

from typing import NamedTuple

from torch import Tensor

from lm_lab.objectives import Loss
from lm_lab.training.machine.processes import gathered


class _Sum(NamedTuple):
    """Of one part or metric: the sum, what it is over, and its weight in the loss; None for a metric."""

    value: Tensor | float
    over: int
    weight: float | None

    @property
    def mean(self) -> float:
        return float(self.value) / self.over if self.over else float("nan")


class EpochLoss:
    """Adds up the parts and metrics of batches."""

    def __init__(self) -> None:
        self._sums: dict[str, _Sum] = {}

    def update(self, loss: Loss) -> None:
        """Add a batch."""
        for name, mean in loss.means.items():
            count = loss.counts[name]
            weight = loss.weights.get(name, 1.0) if name in loss.parts else None
            added = _Sum(mean.detach().float() * count if count else 0.0, count, weight)
            self._sums[name] = _add(self._sums.get(name), added)

    def close(self) -> dict[str, float]:
        """`loss`, its parts where there are several, and the metrics; nan where nothing was counted. Forgets them."""
        own = {name: found._replace(value=float(found.value)) for name, found in self._sums.items()}
        self._sums = {}
        totals: dict[str, _Sum] = {}
        for sums in gathered(own):
            for name, found in sums.items():
                totals[name] = _add(totals.get(name), found)
        means = {name: found.mean for name, found in totals.items()}
        parts = {name: found.weight * means[name] for name, found in totals.items() if found.weight is not None}
        shown = means if len(parts) > 1 else {name: mean for name, mean in means.items() if name not in parts}
        return {"loss": sum(parts.values())} | shown if parts else {}


def _add(known: _Sum | None, found: _Sum) -> _Sum:
    if known is None:
        return found
    return _Sum(known.value + found.value, known.over + found.over, found.weight)

"""What each validation of a fit found: the weights that are saved may be those of an earlier step than the last."""

import math
from dataclasses import dataclass, field, replace

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint

from lm_lab.tasks import Judged
from lm_lab.training.adaptation import Adaptation
from lm_lab.training.callbacks.delta import SaveDelta


@dataclass(frozen=True)
class Validated:
    """What one found.

    Attributes:
        metrics: everything that was logged, by name.
        examples: split -> its judged examples; none of a step that is neither the best so far nor the last.
        rank: what is monitored, more for better; nan where nothing is.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    examples: dict[str, Judged] = field(default_factory=dict)
    rank: float = math.nan


class Validations(L.Callback):
    """Keeps what was found at each step.

    Args:
        saved: knows which step its weights are of.
    """

    def __init__(self, saved: SaveDelta) -> None:
        self.saved = saved
        self._found: dict[int, Validated] = {}

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep the metrics, and the examples of the last step and of the best so far."""
        if not isinstance(pl_module, Adaptation) or trainer.sanity_checking:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        monitor, sign = _monitored(trainer)
        best = max(self._found, key=lambda step: self._found[step].rank, default=None)
        self._found = {
            step: found if step == best else replace(found, examples={}) for step, found in self._found.items()
        }
        rank = metrics.get(monitor, math.nan) * sign
        self._found[trainer.global_step] = Validated(metrics, pl_module.evaluation.last, rank)

    def of_saved(self, trainer: L.Trainer) -> Validated:
        """Of the weights that were saved; nothing where these were not validated."""
        chosen = self.saved.chosen
        return self._found.get(chosen["step"] if chosen else trainer.global_step, Validated())


def _monitored(trainer: L.Trainer) -> tuple[str, int]:
    """What the best checkpoint is best by, and 1 where more is better, else -1."""
    for kept in trainer.checkpoint_callbacks:
        if isinstance(kept, ModelCheckpoint) and kept.monitor:
            return kept.monitor, 1 if kept.mode == "max" else -1
    return "", 1

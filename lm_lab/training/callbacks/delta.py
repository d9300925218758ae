"""The callback that saves what an adaptation learned."""

from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from lm_lab.atomic import require_writable
from lm_lab.described import factory
from lm_lab.models import AdaptedModel, delta
from lm_lab.training.adaptation import Adaptation, delta_of


class SaveDelta(L.Callback):
    """Write the delta folder beside the logs when training ends, and say where it is and of which checkpoint.

    It is the last step's, or that of the best checkpoint where a `ModelCheckpoint` monitors a score.

    Attributes:
        folder: where it was saved; None before that, and in other processes.
        chosen: what was monitored, its value and its step; None for the last step's.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.chosen: dict[str, Any] | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Find a disk that takes no files before any time is spent."""
        if stage == "fit" and trainer.is_global_zero:
            require_writable(Path(trainer.default_root_dir))

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save on the first process."""
        folder = Path(trainer.log_dir or trainer.default_root_dir) / "delta"  # which it tells the others
        if trainer.is_global_zero and isinstance(pl_module, Adaptation) and not getattr(trainer, "fast_dev_run", False):
            model = pl_module.model
            self.chosen = chosen = _take_best(trainer, model)
            model.finish()
            said = ", of the best {monitor}: {value:.4g} at step {step}".format(**chosen) if chosen else ""
            self.folder = delta.save(model, folder, chosen, _training(trainer, pl_module))
            print(f"delta: {self.folder}{said}")


def _training(trainer: L.Trainer, module: Adaptation) -> dict[str, Any]:
    """How it was trained: what a null in the configuration came to, too."""
    return {
        "learning_rate": module.learning_rate,
        "optimizer": factory(module.optimizer),
        "scheduler": factory(module.scheduler),
        "precision": str(trainer.precision),
        "steps": trainer.global_step,
    }


def _take_best(trainer: L.Trainer, model: AdaptedModel) -> dict[str, Any] | None:
    """Put the best checkpoint's delta into the model; what was monitored, its value there, and the step."""
    kept: list[Any] = [c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint) and c.monitor]
    if not kept or not kept[0].best_model_path:
        return None
    checkpoint = torch.load(kept[0].best_model_path, map_location="cpu", weights_only=True)
    delta.put(model, delta_of(checkpoint), "the best checkpoint")
    return {"monitor": kept[0].monitor, "value": float(kept[0].best_model_score), "step": checkpoint["global_step"]}

"""Callbacks: the saved delta, and the clocks and memory of the training phase."""

import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from lm_lab.atomic import require_writable
from lm_lab.models import AdaptedModel, delta
from lm_lab.training import memory
from lm_lab.training.adaptation import Adaptation, delta_of
from lm_lab.training.watching import require_number


class SaveDelta(L.Callback):
    """Write the delta folder beside the logs when training ends, and say where it is and of which checkpoint.

    It is the last step's, or that of the best checkpoint where a `ModelCheckpoint` monitors a score.
    """

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Find a disk that takes no files before any time is spent."""
        if stage == "fit" and trainer.is_global_zero:
            require_writable(Path(trainer.default_root_dir))

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save on the first process."""
        folder = Path(trainer.log_dir or trainer.default_root_dir) / "delta"  # which it tells the others
        if trainer.is_global_zero and isinstance(pl_module, Adaptation) and not getattr(trainer, "fast_dev_run", False):
            model = pl_module.model
            chosen = _take_best(trainer, model)
            model.finish()
            said = ", of the best {monitor}: {value:.4g} at step {step}".format(**chosen) if chosen else ""
            print(f"delta: {delta.save(model, folder, chosen)}{said}")


def _take_best(trainer: L.Trainer, model: AdaptedModel) -> dict[str, Any] | None:
    """Put the best checkpoint's delta into the model; what was monitored, its value there, and the step."""
    kept: list[Any] = [c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint) and c.monitor]
    if not kept or not kept[0].best_model_path:
        return None
    checkpoint = torch.load(kept[0].best_model_path, map_location="cpu", weights_only=True)
    delta.put(model, delta_of(checkpoint), "the best checkpoint")
    return {"monitor": kept[0].monitor, "value": float(kept[0].best_model_score), "step": checkpoint["global_step"]}


class TrainingMeter(L.Callback):
    """Clocks and peak memory of training alone, the loss curve, and a stop at a loss that is no number.

    Attributes:
        seconds, cpu_seconds: wall and processor time of all steps, and of what the module fits before the first.
        steps, examples: how many.
        peak_bytes: highest memory of the training phase.
        history: step, loss and learning rate, about 50 times over the run.
    """

    def __init__(self) -> None:
        self.seconds = self.cpu_seconds = 0.0
        self.steps = self.examples = self.peak_bytes = 0
        self.history: list[dict[str, float]] = []
        self._started = self._cpu_started = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Forget the peak of what came before; a module's own hook, which may fit statistics, comes after this one."""
        memory.reset_peak(pl_module.device)
        self._start()

    def on_train_epoch_start(self, *_: Any) -> None:
        """Start the clocks: fetching and collating batches counts as training, evaluation does not."""
        if not self.steps:
            self._read()
        self._start()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Read the clocks and check the loss."""
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)
        self._read()
        self.steps += 1
        self.examples += len(batch["ids"])
        self._record(trainer, float(outputs["loss"]))
        self.peak_bytes = memory.peak_bytes(pl_module.device) if trainer.is_last_batch else self.peak_bytes
        self._start()

    def _start(self) -> None:
        self._started, self._cpu_started = time.perf_counter(), time.process_time()

    def _read(self) -> None:
        self.seconds += time.perf_counter() - self._started
        self.cpu_seconds += time.process_time() - self._cpu_started

    def _record(self, trainer: L.Trainer, loss: float) -> None:
        require_number(loss, self.steps)
        every = max(1, int(trainer.estimated_stepping_batches) // 50)
        if self.steps % every == 0 or self.steps == 1:
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            self.history.append({"step": self.steps, "loss": round(loss, 6), "learning_rate": rate})

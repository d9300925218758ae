"""The callback that measures training alone: clocks, peak memory, the loss curve."""

import time
from typing import Any

import lightning as L
import torch

from lm_lab.training.callbacks.watching import require_number
from lm_lab.training.machine import memory


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

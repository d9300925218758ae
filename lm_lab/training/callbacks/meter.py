"""The callback that measures training alone: clocks, peak memory, the loss curve."""

import time
from typing import Any

import lightning as L
import torch
from torch import Tensor

from lm_lab.training.callbacks.watching import require_number
from lm_lab.training.machine import memory

WINDOW = 50  # steps that a GPU may be ahead


class TrainingMeter(L.Callback):
    """Clocks and peak memory of training alone, the loss curve, and a stop at a loss that is no number.

    Nothing waits for a GPU at each step: losses stay there and are read together, once in `window` steps, before an
    evaluation and at the end, and only then is the clock that of finished work.

    Args:
        window: steps between readings; by default 1 on a CPU, where a loss is there at once, and 50 elsewhere.

    Attributes:
        seconds, cpu_seconds: wall and processor time of all steps, and of what the module fits before the first.
        steps, examples: how many.
        peak_bytes: highest memory of the training phase.
        history: step, loss and learning rate, about 50 times over the run.
    """

    def __init__(self, window: int | None = None) -> None:
        self.window = window
        self.seconds = self.cpu_seconds = 0.0
        self.steps = self.examples = self.peak_bytes = 0
        self.history: list[dict[str, float]] = []
        self._losses: list[Tensor] = []  # of the last steps, not read yet
        self._rates: list[float] = []
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
        """Keep the loss, and read the clocks."""
        self.steps += 1
        self.examples += len(batch["ids"])
        self._losses.append(outputs["loss"].detach())
        self._rates.append(trainer.optimizers[0].param_groups[0]["lr"])
        window = self.window or (1 if pl_module.device.type == "cpu" else WINDOW)
        if len(self._losses) >= window or trainer.is_last_batch:
            losses = torch.stack(self._losses).tolist()  # waits for the device
            self._read()
            self._record(trainer, losses)
            self.peak_bytes = memory.peak_bytes(pl_module.device) if trainer.is_last_batch else self.peak_bytes
        else:
            self._read()
        self._start()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Within an epoch: the steps before it are waited for, and stand on training's clock."""
        if self._losses:
            losses = torch.stack(self._losses).tolist()
            self._read()
            self._record(trainer, losses)

    def on_validation_end(self, *_: Any) -> None:
        """The clocks of training go on."""
        self._start()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A run that ended within an epoch has losses that nobody has read; one without steps has clocks."""
        if not self.steps:
            self._read()
        self.on_validation_start(trainer, pl_module)
        self.peak_bytes = max(self.peak_bytes, memory.peak_bytes(pl_module.device))

    def _start(self) -> None:
        self._started, self._cpu_started = time.perf_counter(), time.process_time()

    def _read(self) -> None:
        self.seconds += time.perf_counter() - self._started
        self.cpu_seconds += time.process_time() - self._cpu_started

    def _record(self, trainer: L.Trainer, losses: list[float]) -> None:
        """Check the losses of the last steps, and keep some."""
        every = max(1, int(trainer.estimated_stepping_batches) // 50)
        first, rates = self.steps - len(losses) + 1, self._rates
        self._losses, self._rates = [], []
        for step, (loss, rate) in enumerate(zip(losses, rates, strict=True), first):
            require_number(loss, step)
            if step % every == 0 or step == 1:
                self.history.append({"step": step, "loss": round(loss, 6), "learning_rate": rate})

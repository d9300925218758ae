"""The clocks of a pack's training."""

import time
from typing import Any

import lightning as L
import torch

from lm_lab.training.machine import memory


class PackClock(L.Callback):
    """Wall and processor time of all steps, and the highest memory.

    Attributes:
        seconds, cpu_seconds: of the whole pack.
        examples: of one run.
        peak_bytes: of the whole pack.
    """

    def __init__(self) -> None:
        self.seconds = self.cpu_seconds = 0.0
        self.examples = self.peak_bytes = 0
        self._began = self._cpu_began = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Begin."""
        memory.reset_peak(pl_module.device)
        self._began, self._cpu_began = time.perf_counter(), time.process_time()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,  # noqa: ARG002
        pl_module: L.LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Any,
        *_: Any,
    ) -> None:
        """Count the examples of one run; its own time is a share."""
        self.examples += len(batch[0]["ids"])

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """End."""
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)
        self.seconds = time.perf_counter() - self._began
        self.cpu_seconds = time.process_time() - self._cpu_began
        self.peak_bytes = memory.peak_bytes(pl_module.device)

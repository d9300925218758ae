"""The callback that draws what training does beside its loss, for every logger of a run."""

from typing import Any

import lightning as L
import torch
from torch import nn
from torch.optim import Optimizer

from lm_lab.training.callbacks.meter import TrainingMeter
from lm_lab.training.losses.step_mean import ends_step
from lm_lab.training.machine import memory


class Curves(L.Callback):
    """Log learning rate, norm of the gradient, memory and speed at the steps at which the Trainer logs its loss.

    `train/learning_rate` is the highest of all groups; `train/gradient_norm` that of the whole step, before it is
    clipped; `memory/peak_bytes` the highest so far; `speed/examples_per_second` of all processes, since the last time.
    They go to the loggers and nowhere else: no checkpoint and no early stop can go by them.

    Args:
        meter: the clock of training; None where another callback logs the speed.
    """

    def __init__(self, meter: TrainingMeter | None = None) -> None:
        self.meter = meter
        self._step: dict[str, Any] = {}  # what is known of the step before it is taken
        self._read = (0.0, 0)  # seconds and examples when the speed was last logged

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer) -> None:
        """Take the norm and the rate of the step where they will be logged."""
        if trainer.loggers and _due(trainer, trainer.global_step + 1):
            rate = max(group["lr"] for group in optimizer.param_groups)
            self._step = {"train/gradient_norm": gradient_norm(pl_module), "train/learning_rate": rate}

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Log, under the number of the step that the Trainer gives to its loss."""
        if not (trainer.loggers and ends_step(trainer, batch_idx) and _due(trainer, trainer.global_step)):
            return
        values = {name: float(value) for name, value in self._step.items()} | self._speed(trainer)
        values["memory/peak_bytes"] = float(memory.peak_bytes(pl_module.device))
        for logger in trainer.loggers:
            logger.log_metrics(values, step=trainer.global_step - 1)

    def _speed(self, trainer: L.Trainer) -> dict[str, float]:
        if self.meter is None:
            return {}
        seconds, examples = self.meter.seconds - self._read[0], self.meter.examples - self._read[1]
        self._read = self.meter.seconds, self.meter.examples
        return {"speed/examples_per_second": examples * trainer.world_size / seconds} if seconds else {}


def gradient_norm(module: nn.Module) -> torch.Tensor:
    """Euclidean norm of all gradients, also where processes share them."""
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    whole: torch.Tensor = getattr(norm, "full_tensor", lambda: norm)()
    return whole


def _due(trainer: L.Trainer, step: int) -> bool:
    every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    return every > 0 and step % every == 0

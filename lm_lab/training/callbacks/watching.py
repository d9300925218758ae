"""Callbacks that end a fit early."""

import math
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping

from lm_lab.errors import UsageError


class DivergedError(UsageError):
    """The training loss stopped being a number."""


def require_number(loss: float, step: int) -> None:
    """Raise `DivergedError` for a loss that is none."""
    if not math.isfinite(loss):
        raise DivergedError(no_number(loss, step))


def no_number(loss: float, step: int) -> str:
    """What is said of a loss that is none."""
    return (
        f"the loss is {loss} at step {step}: nothing was saved. Lower the learning rate, clip gradients, or train "
        "in bf16 or fp32 where it was fp16."
    )


class StopAtNaN(L.Callback):
    """End at a loss that is no number: at once on a CPU, where losses are logged on a GPU, which must not wait."""

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any) -> None:
        """Look at the loss."""
        every = 1 if pl_module.device.type == "cpu" else trainer.log_every_n_steps  # type: ignore[attr-defined]
        if trainer.global_step % every == 0 and outputs is not None:
            require_number(float(outputs["loss"]), trainer.global_step)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look at what was trained, since the last step's own harm shows in no loss."""
        for name, parameter in pl_module.named_parameters():
            if parameter.requires_grad and not bool(torch.isfinite(parameter).all()):
                raise DivergedError(f"{name} is no number after step {trainer.global_step}: nothing was saved.")


class StopAfter(L.Callback):
    """End after a share of the steps that were planned, whose schedule stays that of the whole.

    Args:
        share: of the steps, above 0; at least one is taken.
    """

    def __init__(self, share: float) -> None:
        self.share = share

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Count."""
        if trainer.global_step >= max(1, self.share * trainer.estimated_stepping_batches):  # infinite by time alone
            trainer.should_stop = True


class RequireMonitors(L.Callback):
    """Find a monitor that nothing logs before the first step, and not after the first epoch."""

    def on_sanity_check_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Compare what callbacks wait for with what an evaluation has logged."""
        known = set(trainer.callback_metrics)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            monitor = getattr(callback, "monitor", None)
            waits = isinstance(callback, EarlyStopping | Checkpoint) and monitor and not monitor.startswith("train/")
            if waits and known and monitor not in known:
                raise UsageError(
                    f"{type(callback).__name__} monitors '{monitor}', which nothing logs; there is "
                    f"{', '.join(sorted(known))}."
                )

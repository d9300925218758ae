"""A step of several batches, or processes, as the mean over all of its targets.

    gradient = sum_i n_i g_i / sum_i n_i        g_i: of the mean loss of batch i over its n_i targets

Lightning takes the plain mean of the g_i, in which a token of a short batch weighs more than one of a long batch, and
divides the last, shorter sum of an epoch by the full number of batches. How many tokens a batch will predict is known
only when it is corrupted, so each is weighed as it comes and the gradient is divided once the step is whole. With one
batch a step, in one process, nothing is multiplied or divided.
"""

from typing import Any

import lightning as L
import torch
from torch import Tensor


class StepMean:
    """What the targets of the present step add up to, in this process."""

    def __init__(self) -> None:
        # near the usual number of targets, so that scaled fp16 gradients keep their size; the same in all processes
        self.reference = 0.0
        self.total = 0.0
        self._whole = False

    def weigh(self, loss: Tensor, count: float, trainer: L.Trainer, batch: int) -> Tensor:
        """Take up a batch of this number in its epoch: its mean loss, with the gradient of `count` targets."""
        self.total += count
        self._whole = ends_step(trainer, batch)
        if _single(trainer):
            return loss
        if not self.reference:
            self.reference = max(1.0, _everywhere(count, trainer) / trainer.world_size)
        weighed = loss * (count / self.reference)
        return weighed + (loss - weighed).detach()  # the value stays the batch's mean, for those who watch it

    def divide(self, module: L.LightningModule) -> None:
        """Divide the gradients after a backward pass, if the step is whole; one without targets moves nothing."""
        if not self._whole:
            return
        trainer = module.trainer
        total, self.total = _everywhere(self.total, trainer), 0.0
        if total and _single(trainer):
            return
        parameters = [parameter for parameter in module.parameters() if parameter.grad is not None]
        if not total:
            for parameter in parameters:
                parameter.grad = None
        else:
            scale = trainer.accumulate_grad_batches * trainer.world_size * self.reference / total
            for parameter in parameters:
                parameter.grad.mul_(scale)  # type: ignore[union-attr]

    def state_dict(self) -> dict[str, Any]:
        """Where this process stands in its step."""
        return {"reference": self.reference, "total": self.total}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on in the middle of a step."""
        self.reference, self.total = state["reference"], state["total"]


def ends_step(trainer: L.Trainer, batch: int) -> bool:
    """True if the optimiser steps after the batch of this number in its epoch."""
    return (batch + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch


def _single(trainer: L.Trainer) -> bool:
    """True where a step is one batch of one process."""
    return trainer.accumulate_grad_batches == 1 and trainer.world_size == 1


def _everywhere(count: float, trainer: L.Trainer) -> float:
    """The sum over all processes."""
    if trainer.world_size == 1:
        return count
    number = torch.tensor(count, dtype=torch.float32, device=trainer.strategy.root_device)
    return float(trainer.strategy.reduce(number, reduce_op="sum"))

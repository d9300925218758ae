"""How long a run is, for its schedule: limited by epochs, by steps or by time, it ends at the first of these.

The learning rate reaches its end with the run (Geiping & Goldstein 2023 on why, for a run that is limited by time).
"""

import math

import lightning as L
from lightning.pytorch.callbacks import Timer
from torch.optim.lr_scheduler import LRScheduler

from lm_lab.errors import UsageError
from lm_lab.training.callbacks.batch_size_warmup import BatchSizeWarmup

TIME_STEPS = 1_000_000
"""Steps of the schedule of a run that time alone limits: each is a millionth of the time."""


def total_steps(trainer: L.Trainer) -> int:
    """Optimiser steps of the whole fit; `TIME_STEPS` if `max_time` is its only limit.

    `trainer.estimated_stepping_batches` says the same, but builds the loaders before a resumed run has given them
    their place in the epoch, which is then lost.

    Raises:
        UsageError: neither epochs, steps nor time are limited, so no schedule can end.
    """
    if not _counts_steps(trainer):
        if _time_share(trainer) is None:
            raise UsageError("neither max_epochs, max_steps nor max_time limits the run, so a schedule has no end.")
        return TIME_STEPS
    if trainer.max_epochs in (None, -1):
        return trainer.max_steps
    steps = _steps_of_epochs(trainer, trainer.max_epochs or 0)
    return min(steps, trainer.max_steps) if trainer.max_steps >= 0 else steps


def advance(scheduler: LRScheduler, trainer: L.Trainer, total: int) -> None:
    """Move a schedule of `total` steps on after an optimiser step.

    Where time is limited, to the share of it that is used, or that of the steps if this is larger. Every process takes
    the first one's clock, since their weights must stay equal.
    """
    share = _time_share(trainer)
    if share is not None:
        share = trainer.strategy.broadcast(share)
        done = trainer.global_step if _counts_steps(trainer) else 0
        scheduler.last_epoch = max(done, round(share * total)) - 1
    scheduler.step()


def time_left(trainer: L.Trainer) -> float | None:
    """Seconds of `max_time` that are left; None without such a limit."""
    timers = [callback for callback in trainer.callbacks if isinstance(callback, Timer)]  # type: ignore[attr-defined]
    return next((left for timer in timers if (left := timer.time_remaining()) is not None), None)


def _counts_steps(trainer: L.Trainer) -> bool:
    return trainer.max_epochs not in (None, -1) or trainer.max_steps >= 0


def _time_share(trainer: L.Trainer) -> float | None:
    """Share of `max_time` that is used, counted over resumptions; None without such a limit."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Timer) and (left := callback.time_remaining()) is not None:
            elapsed = callback.time_elapsed()
            return elapsed / (elapsed + left) if left > 0 else 1.0
    return None


def _steps_of_epochs(trainer: L.Trainer, epochs: int) -> int:
    warmup = next((c for c in trainer.callbacks if isinstance(c, BatchSizeWarmup)), None)  # type: ignore[attr-defined]
    data = trainer.datamodule  # type: ignore[attr-defined]
    if data is None and warmup is None:
        return int(trainer.estimated_stepping_batches)
    if data is None:
        raise UsageError("BatchSizeWarmup without a data module: limit the run by max_steps alone.")
    batches, limit = len(data.train_dataloader()), trainer.limit_train_batches
    batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
    if warmup is not None:
        return warmup.steps(batches, epochs)
    return math.ceil(batches / trainer.accumulate_grad_batches) * epochs

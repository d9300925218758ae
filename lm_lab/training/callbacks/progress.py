"""How far a fit is, as plain lines, where there is no terminal for a bar."""

import sys
import time
from typing import Any

import lightning as L

from lm_lab.training.budget import TIME_STEPS, time_left

SECONDS = 30.0


class PlainProgress(L.Callback):
    """A line on standard error every half minute: epoch, step, loss, time left by the pace of this run."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._began = self._said = 0.0
        self._first = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Start the clock."""
        self._began = self._said = time.monotonic()
        self._first = trainer.global_step

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Say it, if it is time."""
        now = time.monotonic()
        if not trainer.is_global_zero or now - self._said < self.seconds or trainer.global_step <= self._first:
            return
        self._said = now
        total = getattr(trainer.lightning_module, "total_steps", 0)
        pace = (now - self._began) / (trainer.global_step - self._first)
        loss, left = trainer.callback_metrics.get("train/loss"), time_left(trainer)
        steps = f"step {trainer.global_step}" + (f" of {total}" if total < TIME_STEPS else "")
        by_steps = pace * max(0, total - trainer.global_step)
        parts = [f"epoch {trainer.current_epoch + 1}", steps]
        parts += [f"loss {float(loss):.3f}"] if loss is not None else []
        parts.append(f"about {duration(by_steps if left is None else min(left, by_steps))} left")
        print(", ".join(parts), file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

"""A run that is stopped keeps its place, and says by its exit code that it is not done; the same command goes on.

The checkpoint of an unfinished run lies in `ROOT/unfinished`, under a hash of the settings that decide on its result
(`settings.py`). It is written when the run is told to stop (SIGTERM, Ctrl-C), and for the end that comes without a word
as often as takes a hundredth of the time, every 15 seconds at most and every five minutes at least; a run that ends
well removes it.
"""

import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException

from lm_lab.training.resuming.settings import identity

KEY = "lm_lab"  # under which a checkpoint says what it is of
MINUTES = 5.0
# a small model's place costs milliseconds: a run of two minutes may be killed too
SECONDS, SHARE = 15.0, 0.01


class Stopped(SystemExit):
    """The run was told to stop. Its code is 128 and the signal's number, as a shell has it."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


class Stoppable(L.Callback):
    """Keeps the place of a run, and whom it belongs to; ends it after the batch in which it is told to.

    Args:
        path: of the checkpoint; None keeps nothing.
        settings: those that decide on the result.
        minutes: between two checkpoints, or fewer where writing one is quick.
    """

    def __init__(self, path: Path | None, settings: Mapping[str, Any], minutes: float = MINUTES) -> None:
        self.path, self.settings, self.minutes = path, dict(settings), minutes
        self._about: dict[str, Any] | None = None
        self._told: int | None = None
        self._written, self._seconds = time.monotonic(), 0.0  # when it was last written, and what that took

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Take Ctrl-C as a wish to stop after the batch; a second one stops at once."""
        self._written = time.monotonic()
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._interrupt)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Write if it is time to, and stop if told to: all processes at the same batch."""
        told = signal.SIGTERM if trainer.received_sigterm else self._told
        apart = min(60 * self.minutes, max(SECONDS, self._seconds / SHARE))
        due = time.monotonic() - self._written > apart
        if not trainer.strategy.reduce_boolean_decision(bool(told or due), all=False):
            return
        self._write(trainer)
        if trainer.strategy.reduce_boolean_decision(bool(told), all=False):
            self._say(trainer)
            raise Stopped(told or signal.SIGTERM)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:  # noqa: ARG002
        """Lightning's own way to stop, in an evaluation, ends with 0, which a scheduler takes for success."""
        self._restore()
        if isinstance(exception, SIGTERMException):
            if trainer.validating and not trainer.sanity_checking:
                self._write(trainer)
            self._say(trainer)
            exception.code = 128 + signal.SIGTERM

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Say in every checkpoint what it is of."""
        if self._about is None:
            self._about = identity(trainer, pl_module, self.settings, trainer.datamodule)  # type: ignore[attr-defined]
        checkpoint[KEY] = self._about

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Nothing is left to go on with."""
        self._restore()
        if self.path is not None and trainer.is_global_zero:
            self.path.unlink(missing_ok=True)

    def _write(self, trainer: L.Trainer) -> None:
        trial: bool = trainer.fast_dev_run  # type: ignore[attr-defined]
        began = time.monotonic()
        if self.path is not None and not trial:
            trainer.save_checkpoint(self.path, weights_only=False)
        self._written = time.monotonic()
        self._seconds = self._written - began

    @rank_zero_only
    def _say(self, trainer: L.Trainer) -> None:
        kept = f"its place is in {self.path}: the same command goes on" if self.path else "checkpointing is off"
        print(f"stopped at step {trainer.global_step}; {kept}", file=sys.stderr, flush=True)

    def _interrupt(self, number: int, _: Any) -> None:
        self._told = number
        self._restore()
        print("stopping after this batch; Ctrl-C again stops at once", file=sys.stderr, flush=True)

    def _restore(self) -> None:
        if signal.getsignal(signal.SIGINT) == self._interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)


class Unfinished(Stoppable, Checkpoint):
    """The same where checkpointing is on: Lightning adds no checkpoints of its own, and calls it after all others."""

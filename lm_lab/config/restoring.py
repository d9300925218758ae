"""What fails while a checkpoint is put back is the checkpoint's fault, told in one line; what fails later is not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L

from lm_lab.errors import UsageError


class Begun(L.Callback):
    """Notices that a checkpoint has been put back whole: a step was taken from it, or an evaluation has started."""

    def __init__(self) -> None:
        self.yes = False
        self._step = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Remember where it begins: the optimiser's state is used in its first step only."""
        self._step = trainer.global_step

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Notice the first step."""
        self.yes = self.yes or trainer.global_step > self._step

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Notice an evaluation that is no part of a fit."""
        self.yes = self.yes or trainer.state.fn != "fit"

    on_test_start = on_predict_start = on_validation_start


@contextmanager
def naming(path: Callable[[], str | None], begun: Begun) -> Iterator[None]:
    """Raise `UsageError` in place of any error that comes while the checkpoint that `path` gives is put back."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        if path() is None or begun.yes:
            raise
        raise UsageError(
            f"{path()} cannot be gone on from: {type(error).__name__}: {error}. It is damaged, or of another model."
        ) from error

"""Batch-size warm-up: gradients are added up over ever more batches (Brown et al. 2020, GPT-3).

Early gradients point the same way for any batch, so small ones save work; late ones are mostly noise, which large
batches average out (McCandlish et al. 2018). GPT-3's batch grew linearly over the first billions of tokens; here it
grows over the first optimiser steps, in whole batches of the data module.
"""

from typing import Any

import lightning as L

from lm_lab.errors import UsageError


class BatchSizeWarmup(L.Callback):
    """Accumulate 1 batch a step at first, and the Trainer's `accumulate_grad_batches` after `over_steps` steps.

    In between the number grows linearly, but changes only at batches of the epoch that are a multiple of it: there
    Lightning, which counts batches from the start of an epoch, begins a sum. So a change may come a few steps late,
    and every step is the mean over exactly the batches it counts. A schedule knows the number of steps that result.

    Args:
        over_steps: optimiser steps until the whole batch is reached.

    Raises:
        UsageError: `over_steps` is below 1; on `setup`, the Trainer's `accumulate_grad_batches` is 1.
    """

    def __init__(self, over_steps: int) -> None:
        if over_steps < 1:
            raise UsageError(f"over_steps={over_steps}: expected 1 or more optimiser steps.")
        self.over_steps = over_steps
        self.end = self.size = 1

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Take the last size from the Trainer."""
        self.end = trainer.accumulate_grad_batches
        if self.end < 2:
            raise UsageError(
                "BatchSizeWarmup grows to the Trainer's accumulate_grad_batches, which is 1: set it to 2 or more."
            )

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Give the Trainer back what it was told."""
        trainer.accumulate_grad_batches = self.end

    def state_dict(self) -> dict[str, Any]:
        """Batches of the present step."""
        return {"size": self.size}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the step's size."""
        self.size = state_dict["size"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Set the size before Lightning finds its place in a resumed epoch."""
        trainer.accumulate_grad_batches = self.size

    def on_train_batch_start(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Let the next step be of the size that is due, if it begins here."""
        self.size = self.next_size(self.size, trainer.global_step, batch_idx)
        trainer.accumulate_grad_batches = self.size

    def next_size(self, size: int, step: int, batch: int) -> int:
        """Batches of a step, given those of the last one, the steps done, and the epoch's number of the next batch."""
        if batch % size:
            return size  # in the middle of a step
        due = min(self.end, 1 + (self.end - 1) * step // self.over_steps)
        return next(number for number in range(max(size, due), 0, -1) if batch % number == 0)

    def steps(self, batches: int, epochs: int) -> int:
        """Optimiser steps in `epochs` of so many `batches`; the last one of an epoch may be a smaller sum."""
        size, step = 1, 0
        for _ in range(epochs):
            for batch in range(batches):
                size = self.next_size(size, step, batch)
                step += (batch + 1) % size == 0 or batch == batches - 1
        return step

"""What the modules that train have in common: a schedule that ends with the run, their modes, and the compiler."""

from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from torch.optim import Optimizer

from lm_lab.training import budget
from lm_lab.training.compiling import Compiled, When, compile_networks, restore, wanted
from lm_lab.training.schedules import SchedulerFactory


class Scheduled(L.LightningModule):
    """A LightningModule whose schedule is stepped at every step.

    Attributes:
        total_steps: of the whole fit.
        compiling: whether a fit compiles its networks; "auto" where that pays, "graphs" with CUDA graphs.
        compiled: whether the last fit did.
    """

    total_steps: int
    compiling: When = False
    compiled = False
    _calls: Sequence[Compiled] = ()

    def scheduled(self, optimizer: Optimizer, scheduler: SchedulerFactory) -> Any:
        """The optimiser with its schedule, as `configure_optimizers` returns it."""
        self.total_steps = budget.total_steps(self.trainer)
        moved = scheduler(optimizer, self.total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": moved, "interval": "step"}}

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:  # noqa: ARG002
        """Move the schedule on, by steps or by time."""
        budget.advance(scheduler, self.trainer, self.total_steps)

    def on_fit_start(self) -> None:
        """Compile, and set the modes: pretrained weights come in eval mode, and Lightning keeps what it finds."""
        self.train()
        if wanted(self.compiling, self.trainer, self.total_steps):
            graphs = self.compiling == "graphs"
            self._calls = compile_networks(self, required=graphs or self.compiling is True, graphs=graphs)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Say that a step begins: CUDA graphs may take the memory of the last one's states."""
        if self.compiling == "graphs":
            torch.compiler.cudagraph_mark_step_begin()

    def on_fit_end(self) -> None:
        """Let the networks be called as before."""
        self.compiled = any(call.works for call in self._calls)
        restore(self._calls)
        self._calls = ()

"""What the modules that train have in common: a schedule that ends with the run, and their modes."""

from typing import Any

import lightning as L
from torch.optim import Optimizer

from lm_lab.training import budget
from lm_lab.training.schedules import SchedulerFactory


class Scheduled(L.LightningModule):
    """A LightningModule whose schedule is stepped at every step.

    Attributes:
        total_steps: of the whole fit.
    """

    total_steps: int

    def scheduled(self, optimizer: Optimizer, scheduler: SchedulerFactory) -> Any:
        """The optimiser with its schedule, as `configure_optimizers` returns it."""
        self.total_steps = budget.total_steps(self.trainer)
        moved = scheduler(optimizer, self.total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": moved, "interval": "step"}}

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:  # noqa: ARG002
        """Move the schedule on, by steps or by time."""
        budget.advance(scheduler, self.trainer, self.total_steps)

    def on_fit_start(self) -> None:
        """Set the modes: pretrained weights come in eval mode, and Lightning keeps what it finds."""
        self.train()

"""The LightningModule that trains a pack: the loss, clipping and end of each run are its own."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lm_lab.packs.model import Pack
from lm_lab.packs.streams import Stream
from lm_lab.training.adaptation import Adaptation
from lm_lab.training.optimizers import parameter_groups
from lm_lab.training.scheduled import Scheduled
from lm_lab.training.standardising import fit_standardisation

LOOK_EVERY = 50  # steps between two looks at losses on a GPU, which must not wait for them


class PackedAdaptation(Scheduled):
    """Trains several adaptations in one pass; a batch of it is one batch of each.

    One optimiser has groups of each run with the run's own rate; gradients of runs never mix, so a run that has become
    no number is left out from there on and touches no other.

    Args:
        runs: of one backbone, strategy and task, with optimisers of one kind.
        streams: their random numbers, as they stood when each was built.

    Attributes:
        losses: (k,) of every step, where they were computed.
        history: of each run step, loss and learning rate, about 50 times.
        ended: run -> step at which its loss was no number.
    """

    def __init__(self, runs: Sequence[Adaptation], streams: Sequence[Stream]) -> None:
        super().__init__()
        self.runs: Any = nn.ModuleList(runs)
        self.pack = Pack([run.model for run in runs], streams)
        self.losses: list[Tensor] = []
        self.rates: list[list[float]] = []
        self.history: list[list[dict[str, float]]] = [[] for _ in runs]
        self._looked = 0  # steps
        self.ended: dict[int, int] = {}
        self._groups: list[int] = []  # of each run, where its first group is

    def training_step(self, batches: Sequence[dict[str, Any]], batch_idx: int) -> Tensor | None:  # noqa: ARG002
        """The sum of the losses of the runs that go on; None, which moves nothing, where none does."""
        scores = self.pack.each(batches)
        found = [run.model.task.loss(own, batch) for run, own, batch in zip(self.runs, scores, batches, strict=True)]
        self.losses.append(torch.stack([loss.detach().float() for loss in found]))
        going_on = [loss for run, loss in enumerate(found) if run not in self.ended]
        return torch.stack(going_on).sum() if going_on else None

    def on_after_backward(self) -> None:
        """Take the gradients of runs that have ended."""
        for run in self.ended:
            for parameter in self.runs[run].parameters():
                parameter.grad = None

    def configure_gradient_clipping(
        self,
        optimizer: Any,  # noqa: ARG002
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip each run's gradients by their own norm."""
        if not gradient_clip_val:
            return
        by_norm = (gradient_clip_algorithm or "norm") == "norm"
        for run in self.runs:
            own = [parameter for parameter in run.parameters() if parameter.grad is not None]
            clip = nn.utils.clip_grad_norm_ if by_norm else nn.utils.clip_grad_value_
            clip(own, gradient_clip_val)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Look for runs that have become no number; with all of them ended there is nothing left to do."""
        optimizer: Any = self.trainer.optimizers[0]
        self.rates.append([optimizer.param_groups[group]["lr"] for group in self._groups])
        if self.device.type == "cpu" or len(self.losses) % LOOK_EVERY == 0 or self.trainer.is_last_batch:
            self._look()
        if len(self.ended) == len(self.runs):
            self.trainer.should_stop = True

    def predict_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> list[dict[str, Any]]:  # noqa: ARG002
        """What `Adaptation.predict_step` gives, of each run on the same batch."""
        found = []
        for run, scores in zip(self.runs, self.pack([batch] * len(self.runs)), strict=True):
            values, labels = run.model.task.judge(scores, batch)
            found.append({"split": batch["split"], "ids": batch["ids"], "predictions": values, "labels": labels})
        return found

    def configure_optimizers(self) -> Any:
        """One optimiser of the groups of all runs, its schedule stepped at every step."""
        groups: list[dict[str, Any]] = []
        for run in self.runs:
            self._groups.append(len(groups))
            own = parameter_groups(run, run.learning_rate, run.rate_scale)
            groups += [{"lr": run.learning_rate} | group for group in own]
        first = self.runs[0]
        optimizer = first.optimizer(groups, first.learning_rate)
        return self.scheduled(optimizer, first.scheduler)

    def on_train_start(self) -> None:
        """Fit what standardises in each head to the training set."""
        for run, loader in zip(self.runs, self.trainer.train_dataloader.loaders, strict=True):  # type: ignore[union-attr]
            fit_standardisation(run.model, self.trainer, loader)

    def on_train_epoch_start(self) -> None:
        """Let each strategy freeze what is not due yet."""
        for run in self.runs:
            run.begin_epoch(self.current_epoch)
        self.train()

    def on_train_epoch_end(self) -> None:
        """Show all that trains again."""
        for run in self.runs:
            run.end_epoch()

    def on_train_end(self) -> None:
        """Read what is left, where training ended within an epoch."""
        if self._looked < len(self.losses):
            self._look()

    def _look(self) -> None:
        """Read the losses of the steps since the last look: keep some, and note the runs whose were no number."""
        every = max(1, self.total_steps // 50)
        for step, losses in enumerate(torch.stack(self.losses[self._looked :]).tolist(), start=self._looked + 1):
            for run, loss in enumerate(losses):
                if not math.isfinite(loss):
                    self.ended.setdefault(run, step)
                elif step % every == 0 or step == 1:
                    rate = self.rates[step - 1][run]
                    self.history[run].append({"step": step, "loss": round(loss, 6), "learning_rate": rate})
        self._looked = len(self.losses)

"""A tiny run interrupted again and again, each time resumed from the last checkpoint, ends as an undisturbed one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn

from lm_lab.data.batching import LengthGroupedBatches, ResumableLoader, grouped_loader
from lm_lab.training.resuming.checkpoints import ExactResume, WholeCheckpoints

EPOCHS, BATCHES = 4, 6


class Interrupted(BaseException):
    """Stands for a kill; not an exception that anything would handle."""


class Interrupt(L.Callback):
    def __init__(self, batch: int) -> None:
        self.batch = batch

    def on_train_batch_start(self, *_: Any) -> None:
        self.batch -= 1
        if self.batch == 0:
            raise Interrupted


class Module(L.LightningModule):
    """Draws random numbers (dropout), has a schedule of the step and counts its batches."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.3), nn.Linear(8, 1))
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        self.batches += 1
        return (self.net(batch) - batch.sum(dim=1, keepdim=True)).square().mean()

    def validation_step(self, batch: Tensor, index: int) -> None:
        self.log("loss", self.net(batch).mean())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), 1e-2)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Data(L.LightningDataModule):
    def __init__(self) -> None:
        super().__init__()
        self.rows = torch.randn(4 * BATCHES, 3, generator=torch.Generator().manual_seed(1))

    def loader(self, shuffle: bool) -> ResumableLoader:
        lengths = np.arange(len(self.rows)) % 5 + 1
        return grouped_loader(self.rows, LengthGroupedBatches(lengths, 4, seed=3, shuffle=shuffle), torch.stack)  # type: ignore[arg-type]

    def train_dataloader(self) -> ResumableLoader:
        return self.loader(shuffle=True)

    def val_dataloader(self) -> ResumableLoader:
        return self.loader(shuffle=False)


def fit(folder: Path, interrupt: int | None, every: int, options: dict[str, Any]) -> Module:
    saving = {"every_n_train_steps": every, "save_top_k": 0, "save_last": True, "enable_version_counter": False}
    callbacks: list[L.Callback] = [ExactResume(), ModelCheckpoint(dirpath=folder, **saving)]  # type: ignore[arg-type]
    if interrupt:
        callbacks.append(Interrupt(interrupt))
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    trainer = L.Trainer(
        accelerator="cpu", callbacks=callbacks, plugins=[WholeCheckpoints()], max_epochs=EPOCHS, **(quiet | options)
    )
    torch.manual_seed(5)
    module, last = Module(), folder / "last.ckpt"
    trainer.fit(module, Data(), ckpt_path=last if last.exists() else None, weights_only=False)
    return module


def interrupted(folder: Path, moments: Sequence[int], every: int, options: dict[str, Any]) -> Module:
    """Interrupted at the start of each given batch, counted from each resumption on."""
    for moment in moments:
        with pytest.raises(Interrupted):
            fit(folder, moment, every, options)
    return fit(folder, None, every, options)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("validation", ["none", "at the end", "within the epoch"])
def test_chains_of_interruptions(tmp_path: Path, every: int, accumulate: int, validation: str) -> None:
    """7 is the first batch of the second epoch: the checkpoint before it is of an epoch's very last batch."""
    options: dict[str, Any] = {"accumulate_grad_batches": accumulate}
    options |= {"none": {"limit_val_batches": 0}, "within the epoch": {"val_check_interval": 2}}.get(validation, {})
    whole = fit(tmp_path / "whole", None, every, options)
    for number, moments in enumerate([(7, 2), (7, 7), (13, 10), (4, 5, 9), (7, 1, 3)]):
        end = interrupted(tmp_path / str(number), moments, every, options)
        assert int(end.batches) == EPOCHS * BATCHES
        for name, value in whole.state_dict().items():
            assert torch.equal(value, end.state_dict()[name]), (moments, name)

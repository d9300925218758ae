"""Texts of one length in a fixed order, for tests that compare runs step by step."""

from typing import Any

import lightning as L
import numpy as np
import torch
from torch.utils.data import default_collate

from lm_lab.data.batching import LengthGroupedBatches, ResumableLoader, grouped_loader

QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}


class FixedTexts(L.LightningDataModule):
    """The same random tokens in the same order at every epoch, each text `length` long."""

    def __init__(self, texts: int = 48, batch_size: int = 4, length: int = 12) -> None:
        super().__init__()
        ids = torch.randint(10, 200, (texts, length), generator=torch.Generator().manual_seed(1))
        self.rows = [{"input_ids": row, "attention_mask": torch.ones_like(row)} for row in ids]
        self.batch_size = batch_size

    def train_dataloader(self) -> ResumableLoader:
        return self._loader(self.rows, self.batch_size)

    def val_dataloader(self) -> ResumableLoader:
        return self._loader(self.rows[:4], 4)

    def _loader(self, rows: Any, batch_size: int) -> ResumableLoader:
        lengths = np.array([len(row["input_ids"]) for row in rows])
        return grouped_loader(rows, LengthGroupedBatches(lengths, batch_size, shuffle=False), default_collate)

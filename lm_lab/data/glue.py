"""GLUE and its kin as a LightningDataModule: one or two texts in, a class or a graded score out."""

import hashlib
from collections.abc import Iterable
from functools import partial
from typing import Any

import lightning as L
import numpy as np
import torch
from torchdata.stateful_dataloader import StatefulDataLoader

from lm_lab.data.batching import LengthGroupedBatches, grouped_loader, place
from lm_lab.data.checks import Rows, require_labels
from lm_lab.data.encoding import Encoded, Encoding
from lm_lab.data.sources import read_split
from lm_lab.errors import UsageError
from lm_lab.tasks import glue_task

SUBSET_SEED = 0  # which examples a limit or a hold-out takes never depends on the run's seed
HELD_OUT = "selection"


class GLUE(L.LightningDataModule):
    """A task of the table in `lm_lab.tasks.glue`. How texts are encoded comes from the module that is trained.

    Args:
        task: a row's name, such as `rte`.
        source: a folder, "hub", "microworld", or None: `LM_LAB_DATA` where set, else the hub.
        batch_size: examples a training step.
        eval_batch_size: examples a batch of evaluation.
        max_length: longest sequence in tokens.
        train_limit: train on that many examples, the same for every seed.
        validation_limit: evaluate on that many examples of each validation split, the same for every seed.
        holdout: examples taken out of train to select hyper-parameters on, evaluated as the split `selection`.
        validation: split to evaluate in place of the task's own, such as `test`.
        predict: split to predict; None: the task's test splits.
        num_workers: processes that collate batches.

    Raises:
        UsageError: an unknown task or split, a bad row, or limits that leave nothing to train on.
    """

    def __init__(
        self,
        task: str,
        source: str | None = None,
        batch_size: int = 32,
        eval_batch_size: int = 128,
        max_length: int = 128,
        train_limit: int | None = None,
        validation_limit: int | None = None,
        holdout: int = 0,
        validation: str | None = None,
        predict: str | None = None,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        self.task = glue_task(task)
        self.source, self.num_workers, self.max_length = source, num_workers, max_length
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.train_limit, self.validation_limit, self.holdout = train_limit, validation_limit, holdout
        self.validation_splits = (validation,) if validation else self.task.validation
        self.predict_splits = (predict,) if predict else tuple(split for split, _ in self.task.test)
        self.encoded: dict[str, Encoded] = {}

    def rows(self, split: str) -> Rows:
        """The rows of `train`, `selection` or any split of the task, after limits and hold-out."""
        if split in ("train", HELD_OUT):
            return self._train_rows(split)
        rows = read_split(self.task, split, self.source)
        if split in self.validation_splits:
            rows = require_labels(self.task, rows, split)
            rows = rows.take(_order(rows)[: self.validation_limit]) if self.validation_limit else rows
        return rows

    def fingerprint(self) -> str:
        """Hash of every row that is trained or evaluated on."""
        digest = hashlib.sha256()
        for split in ("train", *([HELD_OUT] if self.holdout else []), *self.validation_splits):
            rows = self.rows(split)
            digest.update("\0".join([split, *(text for column in rows.texts for text in column)]).encode())
            digest.update(rows.labels.tobytes() + rows.ids.tobytes())
        return digest.hexdigest()[:16]

    def setup(self, stage: str) -> None:
        """Read and encode the splits that `stage` (fit, validate, test, predict) needs."""
        splits = {
            "fit": ("train", *self.evaluated),
            "validate": self.evaluated,
            "test": self.validation_splits,
            "predict": self.predict_splits,
        }[stage]
        missing = [split for split in splits if split not in self.encoded]
        if missing:
            self.encode(missing, self._encoding)

    def encode(self, splits: Iterable[str], encoding: Encoding) -> None:
        """Read and encode `splits`."""
        self.encoded |= {split: encoding(self.rows(split)) for split in splits}

    @property
    def evaluated(self) -> tuple[str, ...]:
        """Splits that a validation epoch covers: the task's own, and the held-out part of train."""
        return (*self.validation_splits, *([HELD_OUT] if self.holdout else []))

    def train_dataloader(self) -> StatefulDataLoader:
        """Batches of similar length, shuffled by the run's seed; resumes in mid-epoch."""
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> list[StatefulDataLoader]:
        """A loader for each evaluated split."""
        return [self._loader(split) for split in self.evaluated]

    def test_dataloader(self) -> list[StatefulDataLoader]:
        """The validation splits again: GLUE's own test labels are not public."""
        return [self._loader(split) for split in self.validation_splits]

    def predict_dataloader(self) -> list[StatefulDataLoader]:
        """A loader for each split to predict."""
        return [self._loader(split) for split in self.predict_splits]

    def _train_rows(self, split: str) -> Rows:
        if not self.task.train:
            raise UsageError(f"'{self.task.name}' has no training split; train on mnli and predict '{self.task.name}'.")
        rows = require_labels(self.task, read_split(self.task, self.task.train, self.source), "train")
        if len(rows) <= self.holdout:
            raise UsageError(
                f"holdout={self.holdout} leaves nothing of the {len(rows)} rows in {rows.origin} to train on."
            )
        if not self.holdout and self.train_limit is None:
            return rows
        order = _order(rows)
        if split == HELD_OUT:
            return rows.take(order[: self.holdout])
        return rows.take(order[self.holdout :][: self.train_limit])

    @property
    def _encoding(self) -> Encoding:
        model: Any = self.trainer.lightning_module if self.trainer else None
        if model is None or not hasattr(model, "encoding"):
            raise UsageError("GLUE takes its tokenizer from an Adaptation; pass both to a Trainer.")
        return model.encoding(self.max_length)

    def _loader(self, split: str, shuffle: bool = False) -> StatefulDataLoader:
        encoded = self.encoded[split]
        size = self.batch_size if shuffle else self.eval_batch_size
        seed = torch.initial_seed() % 2**32
        batches = LengthGroupedBatches(encoded.lengths, size, seed, shuffle, **place(self.trainer))
        return grouped_loader(encoded, batches, partial(_collate, encoded, split), self.num_workers)


def _collate(encoded: Encoded, split: str, index: list[int]) -> dict[str, Any]:
    return encoded.collate(index) | {"split": split}


def _order(rows: Rows) -> np.ndarray:
    return np.random.default_rng(SUBSET_SEED).permutation(len(rows))

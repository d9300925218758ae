"""What the LightningDataModules of all forms share: splits, limits, hold-out, batches of similar length."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch

from lm_lab.data.batching import LengthGroupedBatches, ResumableLoader, grouped_loader, pins, place
from lm_lab.data.binding import BoundData
from lm_lab.data.encoding.encoding import Encoding, Side
from lm_lab.data.limits import at_least, held_out
from lm_lab.data.protocols import Encoded, Rows
from lm_lab.data.reading.hub_sets import commit
from lm_lab.data.reading.lines import TEXT, Lines, given_lines, read_lines
from lm_lab.data.reading.texts import UTF_8, codec
from lm_lab.data.token_budget import TokenBudgetBatches
from lm_lab.described import described
from lm_lab.errors import UsageError
from lm_lab.tasks import Task
from lm_lab.tasks.names import require_split

SUBSET_SEED = 0  # which examples a limit or a hold-out takes never depends on the run's seed
HELD_OUT = "selection"


class TaskData(BoundData, ABC):
    """A task's examples, encoded as the model reads them that they are bound to (`lm_lab.bind`).

    Args:
        task: what is read and put out.
        source: a folder, a file (divided), "hub", `hub:OWNER/NAME:SUBSET@REVISION`, "microworld", or None:
            `LM_LAB_DATA` where set, else the hub.
        batch_size: examples a training step.
        tokens_per_batch: tokens a training step, padding counted, in place of `batch_size`: many short texts or few
            long ones. The loss is the mean over a batch's examples, so one among few weighs more.
        eval_batch_size: examples a batch of evaluation.
        max_length: longest sequence in tokens.
        train_limit: train on that many examples, the same for every seed.
        validation_limit: evaluate on that many examples of each validation split, the same for every seed.
        holdout: examples (below 1 a share) taken out of train to select on, evaluated as the split `selection`.
        validation: split to evaluate in place of the task's own, such as `test`.
        predict: split to predict; None: the task's test splits.
        columns: the form's column -> its name in the data, where that is another.
        splits: train, validation, ... -> its name in the data, or a part of a split there, where that is another.
        text: a file of lines to predict on, "-" for standard input; it takes the place of a split.
        num_workers: processes that collate batches.
        encoding: of text files, such as latin-1.
        truncation: which end of a text that is too long goes, "right" or "left".
        word_columns: columns with a list of whole numbers, one for each word of the text (what stands between spaces),
            such as the parents of a tree: they go to a model that asks for them. Of two texts NAME1 and NAME2.

    Raises:
        UsageError: a number out of range, no name of a split, or word columns where none are read.
    """

    truncates: ClassVar[bool] = True  # False: the form has its own way with what is too long
    more: ClassVar[bool] = False  # True: an example may have more of the last kind
    carries: ClassVar[bool] = False  # True: the form reads columns of a number a word

    def __init__(
        self,
        task: Task,
        source: str | None = None,
        batch_size: int = 32,
        eval_batch_size: int = 128,
        max_length: int = 128,
        train_limit: int | None = None,
        validation_limit: int | None = None,
        holdout: int | float = 0,
        validation: str | None = None,
        predict: str | None = None,
        columns: dict[str, str] | None = None,
        text: str | None = None,
        num_workers: int = 0,
        encoding: str = UTF_8,
        truncation: Side = "right",
        word_columns: Sequence[str] = (),
        tokens_per_batch: int | None = None,
        splits: dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        at_least(1, batch_size=batch_size, eval_batch_size=eval_batch_size)
        at_least(1, train_limit=train_limit, validation_limit=validation_limit, tokens_per_batch=tokens_per_batch)
        at_least(0, holdout=holdout, num_workers=num_workers)
        at_least(2, max_length=max_length)
        codec(encoding)
        if truncation == "left" and not self.truncates:
            raise UsageError(f"truncation=left: {type(self).__name__} has its own way with what is too long.")
        if word_columns and not self.carries:
            raise UsageError(f"word_columns={list(word_columns)}: {type(self).__name__} reads none.")
        for split in filter(None, (validation, predict)):
            require_split(split)
        self.task, self.columns, self.text, self.splits = task, columns, text, splits or {}
        self.given: Lines | None = None
        self.source, self.num_workers, self.max_length = source, num_workers, max_length
        self.encoding, self.truncation, self.word_columns = encoding, truncation, list(word_columns)
        self.batch_size, self.eval_batch_size, self.tokens_per_batch = batch_size, eval_batch_size, tokens_per_batch
        self.train_limit, self.validation_limit, self.holdout = train_limit, validation_limit, holdout
        self.validation_splits = (validation,) if validation else task.validation
        self.predict_splits = (TEXT,) if text else (predict,) if predict else tuple(split for split, _ in task.test)
        self.domains: tuple[str, ...] = ()  # other splits that are evaluated, and never trained on or averaged
        self.encoded: dict[str, Encoded] = {}

    @abstractmethod
    def read(self, split: str, labelled: bool) -> Any:
        """The checked `Rows` of a split; without those that have no label if `labelled`."""

    @property
    @abstractmethod
    def given_columns(self) -> tuple[str, ...]:
        """What an example is of that a user gives to predict on, in order."""

    @abstractmethod
    def given_rows(self, given: Lines) -> Any:
        """`Rows` without labels, of examples that a user gives."""

    @abstractmethod
    def encode_rows(self, rows: Any, encoding: Encoding, train: bool) -> Encoded:
        """Rows as tokens, to train on or to evaluate."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The arguments that decide how a text is read: kept with what was trained."""

    def description(self) -> dict[str, Any]:
        """Class and settings that read texts in the same way again."""
        beside = {"word_columns": self.word_columns} if self.word_columns else {}
        return described(type(self), self.settings() | beside)

    def cut(self) -> dict[str, Any]:
        """The settings of what is too long."""
        side = {"truncation": self.truncation} if self.truncation != "right" else {}
        return {"max_length": self.max_length} | side

    def rows(self, split: str) -> Any:
        """The rows of `train`, `selection` or any split of the task, after limits and hold-out."""
        if split in ("train", HELD_OUT):
            return self._train_rows(split)
        if split == TEXT and self.text:
            return self.read_text()
        rows = self.read(split, labelled=split in self.validation_splits)
        if split in (*self.validation_splits, *self.domains) and self.validation_limit is not None:
            return rows.take(_order(rows)[: self.validation_limit])
        return rows

    def read_text(self) -> Any:
        """`Rows` of the lines of the user's text, which are kept to be shown with what they get."""
        assert self.text is not None
        self.given = read_lines(self.text, self.given_columns, self.more, self.encoding)
        return self.given_rows(self.given)

    def read_examples(self, examples: Sequence[Any]) -> Any:
        """`Rows` of examples from Python: texts, or sequences of as many as an example has. Raises `UsageError`."""
        return self.given_rows(given_lines(examples, self.given_columns, self.more))

    def fingerprint(self) -> str:
        """Hash of every row that is trained or evaluated on; of a set of the hub by name `@COMMIT` follows."""
        digest = hashlib.sha256()
        for split in ("train", *([HELD_OUT] if self.holdout else []), *self.validation_splits, *self.domains):
            digest.update(split.encode())
            for part in self.rows(split).content():
                digest.update(part)
        revision = commit(self.source)
        return digest.hexdigest()[:16] + (f"@{revision}" if revision else "")

    def bind(self, encoding: Encoding) -> None:
        """Keep how the model reads, within the settings of what is too long."""
        limit = min(self.max_length, encoding.max_length)
        super().bind(replace(encoding, max_length=limit, side=self.truncation))
        self.encoded = {}

    def setup(self, stage: str) -> None:
        """Read and encode the splits that `stage` (fit, validate, test, predict) needs."""
        splits = {
            "fit": ("train", *self.evaluated),
            "validate": self.evaluated,
            "test": (*self.validation_splits, *self.domains),
            "predict": self.predict_splits,
        }[stage]
        if missing := [split for split in splits if split not in self.encoded]:
            self.encode(missing)

    def encode(self, splits: Iterable[str]) -> None:
        """Read and encode `splits`. Raises `UsageError` if nothing is left to train on, or sequences have no room."""
        encoding = self.reading
        encoding.require_room(2 if self.task.paired else 1)
        for split in splits:
            rows = self.rows(split)
            self.encoded[split] = self.encode_rows(rows, encoding, train=split == "train")
            if split == "train" and not len(self.encoded[split]):
                raise UsageError(f"{rows.origin}: nothing is left of {len(rows)} rows to train on; see the warnings.")

    @property
    def evaluated(self) -> tuple[str, ...]:
        """Splits that a validation epoch covers: the task's own, other domains, and the held-out part of train."""
        return (*self.validation_splits, *self.domains, *([HELD_OUT] if self.holdout else []))

    def train_dataloader(self) -> ResumableLoader:
        """Batches of similar length, shuffled by the run's seed; resumes in mid-epoch."""
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> list[ResumableLoader]:
        """A loader for each evaluated split."""
        return [self._loader(split) for split in self.evaluated]

    def test_dataloader(self) -> list[ResumableLoader]:
        """The validation splits again: the labels of a benchmark's own test set are seldom public."""
        return [self._loader(split) for split in (*self.validation_splits, *self.domains)]

    def predict_dataloader(self) -> list[ResumableLoader]:
        """A loader for each split to predict."""
        return [self._loader(split) for split in self.predict_splits]

    def _train_rows(self, split: str) -> Any:
        if not self.task.train:
            raise UsageError(
                f"'{self.task.name}' has no training split; train on one with the same labels (ax: mnli) and predict "
                "this one."
            )
        rows = self.read(self.task.train, labelled=True)
        held = held_out(self.holdout, len(rows), rows.origin)
        if not self.holdout and self.train_limit is None:
            return rows
        order = _order(rows)
        return rows.take(order[:held] if split == HELD_OUT else order[held:][: self.train_limit])

    def _loader(self, split: str, shuffle: bool = False) -> ResumableLoader:
        encoded = self.encoded[split]
        size = self.batch_size if shuffle else self.eval_batch_size
        seed, at = torch.initial_seed() % 2**32, place(self.trainer)
        batches = LengthGroupedBatches(encoded.lengths, size, seed, shuffle, **at)
        if shuffle and self.tokens_per_batch:
            batches = TokenBudgetBatches(encoded.lengths, self.tokens_per_batch, seed, **at)
        reads = partial(_collate, encoded, split)
        return grouped_loader(encoded, batches, reads, self.num_workers, pins(self.trainer))  # type: ignore[arg-type]


def _collate(encoded: Encoded, split: str, index: list[int]) -> dict[str, Any]:
    return encoded.collate(index) | {"split": split}


def _order(rows: Rows) -> np.ndarray:
    return np.random.default_rng(SUBSET_SEED).permutation(len(rows))

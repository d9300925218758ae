"""Texts that a user gives, to predict on: a file or standard input, one example a line, a tab between a pair."""

import sys
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from torch.utils.data import DataLoader

from lm_lab.data.batching import LengthGroupedBatches
from lm_lab.data.checks import TextRows
from lm_lab.data.encode_texts import EncodedTexts, encode_texts
from lm_lab.errors import UsageError
from lm_lab.tasks import TextTask, glue_task, saved


class Texts(L.LightningDataModule):
    """Unlabelled lines for `predict`.

    Args:
        task: the task whose model predicts, by name or as a delta describes it; a task on pairs wants two texts a line,
            separated by a tab.
        path: a text file, or "-" for standard input.
        batch_size: lines a batch.
        max_length: longest sequence in tokens.

    Raises:
        UsageError: no such file, no lines, or a line with the wrong number of texts.
    """

    def __init__(
        self, task: str | dict[str, Any], path: str = "-", batch_size: int = 128, max_length: int = 128
    ) -> None:
        super().__init__()
        found = glue_task(task) if isinstance(task, str) else saved.build(task)
        if not isinstance(found, TextTask):
            raise UsageError(f"'{found.name}' is no task on lines of text; predict a split of a data folder instead.")
        self.task = found
        self.path, self.batch_size, self.max_length = path, batch_size, max_length
        self.rows: TextRows | None = None

    def setup(self, stage: str) -> None:
        """Read and encode the lines."""
        if stage != "predict":
            raise UsageError(f"Texts has no labels, so it cannot serve '{stage}'; use it with predict.")
        self.rows = read_lines(self.task, self.path)
        model: Any = self.trainer.lightning_module  # type: ignore[union-attr]
        self.encoded: EncodedTexts = encode_texts(self.rows, model.encoding(self.max_length))

    def predict_dataloader(self) -> DataLoader:
        """The lines, longest first."""
        batches = LengthGroupedBatches(self.encoded.lengths, self.batch_size, shuffle=False)
        return DataLoader(self.encoded, batch_sampler=batches, collate_fn=self._collate)

    def _collate(self, index: list[int]) -> dict[str, object]:
        return self.encoded.collate(index) | {"split": "texts"}


def read_lines(task: TextTask, path: str) -> TextRows:
    """The non-empty lines of `path` as rows without labels; ids are line numbers from 0."""
    if path != "-" and not Path(path).is_file():
        raise UsageError(f"no file '{path}' to predict on; give a text file, or - for standard input.")
    origin = "standard input" if path == "-" else path
    lines = (sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")).split("\n")
    found = [(number, line.rstrip("\r").split("\t")) for number, line in enumerate(lines) if line.strip()]
    if not found:
        raise UsageError(f"{origin} has no text; expected one example a line.")
    for number, texts in found:
        if len(texts) != len(task.columns):
            raise UsageError(
                f"{origin}, line {number + 1}: {len(texts)} texts, but '{task.name}' needs {len(task.columns)} "
                f"({', '.join(task.columns)}), separated by a tab."
            )
    columns = tuple([texts[i] for _, texts in found] for i in range(len(task.columns)))
    ids = np.array([number for number, _ in found])
    return TextRows(columns, np.full(len(ids), -1.0), ids, origin)

"""GLUE and its kin as a LightningDataModule: one or two texts in, a class or a graded score out."""

from typing import Any

from lm_lab.data.checks import TextRows, require_labels, text_rows
from lm_lab.data.encode_texts import EncodedTexts, encode_texts
from lm_lab.data.encoding import Encoding
from lm_lab.data.module import TaskData
from lm_lab.data.sources import read_split
from lm_lab.tasks import TextTask, glue_task


class GLUE(TaskData):
    """A task of the table in `lm_lab.tasks.glue`.

    Args:
        task: a row's name, such as `rte`.
        settings: those of `TaskData`.

    Raises:
        UsageError: an unknown task or split, a bad row, or limits that leave nothing to train on.
    """

    task: TextTask

    def __init__(self, task: str, **settings: Any) -> None:
        super().__init__(glue_task(task), **settings)

    def read(self, split: str, labelled: bool) -> TextRows:
        """The checked rows of a split."""
        rows = read_split(self.task, split, self.source, self.columns)
        return require_labels(self.task, rows, split) if labelled else rows

    def read_text(self) -> TextRows:
        """A text a line, or two with a tab between them."""
        return text_rows(self.lines(self.task.columns))

    def encode_rows(self, rows: TextRows, encoding: Encoding, train: bool) -> EncodedTexts:  # noqa: ARG002
        """One or two texts a row as tokens."""
        return encode_texts(rows, encoding)

    def settings(self) -> dict[str, Any]:
        """The task, and the longest sequence."""
        return {"task": self.task.name, "max_length": self.max_length}

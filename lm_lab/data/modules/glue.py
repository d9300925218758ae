"""GLUE and its kin as a LightningDataModule: one or two texts in, a class or a graded score out."""

from typing import Any

from lm_lab.data.modules.text_data import TextData
from lm_lab.data.reading.checks import labelled_rows
from lm_lab.data.reading.sources import read_split
from lm_lab.data.reading.text_rows import TextRows
from lm_lab.tasks import glue_task


class GLUE(TextData):
    """A task of the table in `lm_lab.tasks.glue`.

    Args:
        task: a row's name, such as `rte`.
        settings: those of `TaskData`.

    Raises:
        UsageError: an unknown task or split, a bad row, or limits that leave nothing to train on.
    """

    def __init__(self, task: str, **settings: Any) -> None:
        super().__init__(glue_task(task), **settings)

    def read(self, split: str, labelled: bool) -> TextRows:
        """The checked rows of a split."""
        rows = read_split(self.task, split, self.source, self.columns, self.encoding, self.word_columns, self.splits)
        return labelled_rows(self.task, rows, split) if labelled else rows

    def settings(self) -> dict[str, Any]:
        """The task, and how texts are cut."""
        return {"task": self.task.name} | self.cut()

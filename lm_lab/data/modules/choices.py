"""Multiple choice as a LightningDataModule: HellaSwag, COPA, the microworld's, or a user's own."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from lm_lab.data.encoding.choices import EncodedChoices, encode_choices
from lm_lab.data.encoding.encoding import Encoding
from lm_lab.data.modules.base import TaskData
from lm_lab.data.reading.checks import require_labels
from lm_lab.data.reading.choice_rows import ChoiceRows, check_choices
from lm_lab.data.reading.labels import UNLABELLED
from lm_lab.data.reading.lines import Lines
from lm_lab.data.reading.sources import Place, read_table, superglue
from lm_lab.tasks.choices import ChoiceTask
from lm_lab.tasks.names import file_name

# Zellers et al. 2019, https://arxiv.org/abs/1905.07830
_PLACES = {
    "hellaswag": Place("hellaswag", ("hellaswag",), "Rowan/hellaswag"),
    "copa": superglue("copa", "COPA"),
}
_MOST = 100  # options in columns of their own
_WORDS = ("question", "answer", *(f"option_{number}" for number in range(_MOST)))
_COLUMNS = {
    "hellaswag": {"context": "ctx", "options": "endings", "answer": "label"},
    "copa": {"context": "premise", "option_0": "choice1", "option_1": "choice2", "answer": "label"},
}
_FILES = {"copa": "COPA"}
_ASKED = {"cause": "What was the cause of this?", "effect": "What happened as a result?"}  # COPA's questions in words


class MultipleChoice(TaskData):
    """Questions with options.

    The columns: `context`; `question`, which may be absent or empty; `options`, a list of texts (in a csv: `option_0`,
    `option_1`, ...); `answer`, a position from 0, the option itself, or one of `option_names`, such as A, B, C.

    Args:
        task: hellaswag, copa, or the name of a folder of your own.
        settings: those of `TaskData`.

    Raises:
        UsageError: an unknown split, a bad row, or limits that leave nothing to train on.
    """

    truncates, more = False, True
    task: ChoiceTask

    def __init__(self, task: str = "hellaswag", **settings: Any) -> None:
        name = file_name(task)
        super().__init__(ChoiceTask(name, test=(("test", _FILES.get(name, name)),)), **settings)
        self.place = replace(_PLACES.get(task) or Place(task, (task,), task), splits=self.splits)

    def read(self, split: str, labelled: bool) -> ChoiceRows:
        """The checked rows of a split."""
        own = {} if self.source == "microworld" else _COLUMNS.get(self.place.name, {})
        columns = own | (self.columns or {})
        if not labelled:  # a split to predict may lack the answers
            columns = {ours: theirs for ours, theirs in columns.items() if ours != "answer"}
        table, origin = read_table(self.place, split, self.source, columns, _WORDS, self.encoding)
        rows = check_choices(_in_words(table) if self.place.name == "copa" else table, origin)
        return require_labels(self.task, rows, split, "answer") if labelled else rows

    @property
    def given_columns(self) -> tuple[str, ...]:
        """A context and two or more options."""
        return ("context", "option", "option")

    def given_rows(self, given: Lines) -> ChoiceRows:
        """A context and its options a row."""
        unknown = np.full(len(given.ids), UNLABELLED)
        return ChoiceRows(given.column(0), [texts[1:] for texts in given.texts], unknown, given.ids, given.origin)

    def encode_rows(self, rows: ChoiceRows, encoding: Encoding, train: bool) -> EncodedChoices:  # noqa: ARG002
        """An option a sequence."""
        return encode_choices(rows, encoding)

    def settings(self) -> dict[str, Any]:
        """The task, its columns, and the longest sequence."""
        return {"task": self.place.name, "columns": self.columns, "max_length": self.max_length}


def _in_words(table: pa.Table) -> pa.Table:
    """COPA's table with its questions, `cause` and `effect`, in words. What is neither stays."""
    if "question" not in table.column_names:
        return table
    words = [_ASKED.get(asked, asked) for asked in table["question"].to_pylist()]
    return table.set_column(table.column_names.index("question"), "question", pa.array(words))

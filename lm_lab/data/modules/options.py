"""MultiRC and ReCoRD of SuperGLUE as LightningDataModules: questions of which several options may be right."""

from abc import abstractmethod
from dataclasses import replace
from typing import Any, ClassVar

import pyarrow as pa

from lm_lab.data.encoding.choices import EncodedChoices, encode_choices
from lm_lab.data.encoding.encoding import Encoding
from lm_lab.data.modules.base import TaskData
from lm_lab.data.reading import option_rows
from lm_lab.data.reading.checks import require_labels
from lm_lab.data.reading.lines import Lines
from lm_lab.data.reading.option_rows import GAP, OptionRows
from lm_lab.data.reading.sources import Place, read_table, superglue
from lm_lab.errors import UsageError
from lm_lab.tasks import Task
from lm_lab.tasks.answer_sets import AnswerSetTask
from lm_lab.tasks.cloze import ClozeTask


class _Options(TaskData):
    """What both share: a sequence an option, from a table of the hub's schema or SuperGLUE's own file."""

    truncates, more = False, True
    form: ClassVar[Task]
    place: ClassVar[Place]

    def __init__(self, max_length: int = 512, batch_size: int = 4, eval_batch_size: int = 8, **settings: Any) -> None:
        if settings.get("source") == "microworld":
            raise UsageError(f"source=microworld: it has no '{self.form.name}'; give a folder or 'hub'.")
        settings |= {"batch_size": batch_size, "eval_batch_size": eval_batch_size}
        super().__init__(self.form, max_length=max_length, **settings)

    @abstractmethod
    def checked(self, table: pa.Table, origin: str) -> OptionRows:
        """The questions of a table. Raises `UsageError` for what is wrong with them."""

    def read(self, split: str, labelled: bool) -> OptionRows:
        """The checked questions of a split."""
        place = replace(self.place, splits=self.splits)
        table, origin = read_table(place, split, self.source, self.columns, (), self.encoding)
        rows = self.checked(table, origin)
        return require_labels(self.task, rows, split) if labelled else rows

    def encode_rows(self, rows: OptionRows, encoding: Encoding, train: bool) -> EncodedChoices:  # noqa: ARG002
        """An option a sequence."""
        return encode_choices(rows, encoding)

    def settings(self) -> dict[str, Any]:
        """The longest sequence."""
        return {"max_length": self.max_length}


class MultiRC(_Options):
    """Passages with questions, of which any number of answers are right (Khashabi et al. 2018).

    Args:
        max_length: longest sequence in tokens: passage, question and one answer; the passage loses its beginning.
        batch_size: questions a training step, each with all its answers.
        eval_batch_size: questions a batch of evaluation.
        settings: those of `TaskData`.

    Raises:
        UsageError: an unknown split, a bad row, or limits that leave nothing to train on.
    """

    form = AnswerSetTask("multirc", test=(("test", "MultiRC"),))
    place = superglue("multirc", "MultiRC")

    def checked(self, table: pa.Table, origin: str) -> OptionRows:
        """Questions with their answers."""
        return option_rows.multirc(table, origin)

    @property
    def given_columns(self) -> tuple[str, ...]:
        """A passage with its question behind it, and answers."""
        return ("context", "answer")

    def given_rows(self, given: Lines) -> OptionRows:
        """A question a row."""
        asked = [
            {"context": texts[0], "options": texts[1:], "right": None, "key": [number, 0, list(range(len(texts) - 1))]}
            for number, texts in zip(given.ids.tolist(), given.texts, strict=True)
        ]
        return replace(option_rows.option_rows(asked, given.origin), ids=given.ids)


class ReCoRD(_Options):
    """Passages of news with a query that one of the passage's entities fills (Zhang et al. 2018).

    Args:
        max_length: longest sequence in tokens: passage and filled query; the passage loses its beginning.
        batch_size: queries a training step, each with all its entities.
        eval_batch_size: queries a batch of evaluation.
        settings: those of `TaskData`.

    Raises:
        UsageError: an unknown split, a bad row, or limits that leave nothing to train on.
    """

    form = ClozeTask("record", test=(("test", "ReCoRD"),))
    place = superglue("record", "ReCoRD")

    def checked(self, table: pa.Table, origin: str) -> OptionRows:
        """Queries with their entities."""
        return option_rows.record(table, origin)

    @property
    def given_columns(self) -> tuple[str, ...]:
        """A passage, a query with its gap, and entities."""
        return ("passage", "query", "entity")

    def given_rows(self, given: Lines) -> OptionRows:
        """A query a row."""
        rows = zip(given.ids.tolist(), given.texts, strict=True)
        asked = [option_rows.cloze(texts[0], texts[1], texts[2:], [], number) for number, texts in rows]
        if missing := next((texts[1] for texts in given.texts if GAP not in texts[1]), None):
            raise UsageError(f"{given.origin}: the query {missing!r:.80} has no gap, {GAP}.")
        return replace(option_rows.option_rows(asked, given.origin), ids=given.ids)

"""WiC and SuperGLUE's Winograd schemas as LightningDataModules: two texts, each read at some of its words."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pyarrow as pa

from lm_lab.data.modules.text_data import TextData
from lm_lab.data.reading.checks import check, labelled_rows, read_columns
from lm_lab.data.reading.column_names import renamed, require_columns
from lm_lab.data.reading.labels import numbered_truth
from lm_lab.data.reading.lines import Lines
from lm_lab.data.reading.sources import Place, read_table, superglue
from lm_lab.data.reading.text_rows import TextRows, text_rows
from lm_lab.errors import UsageError
from lm_lab.tasks import TextTask
from lm_lab.tasks import superglue as tasks
from lm_lab.tasks.wic import WIC
from lm_lab.tokens import MARKED

WSC_PLACE = superglue("wsc", "WSC")
_SPANS = ("span1_index", "span1_text", "span2_index", "span2_text")


class _Marked(TextData):
    """What both share. A span: a text, the place of its first word that is read, and these words if not one."""

    form: ClassVar[TextTask]
    place: ClassVar[Place]
    at: ClassVar[tuple[tuple[int, ...], ...]]  # where the spans of a row are in `given_columns`
    lacking: ClassVar[str]  # what the microworld has not
    wrong: ClassVar[str]  # said of a span that is not in its text

    def __init__(self, **settings: Any) -> None:
        if settings.get("source") == "microworld":
            raise UsageError(f"source=microworld: it has no {self.lacking}; give a folder, a file or 'hub'.")
        super().__init__(task=self.form, **settings)  # by name: the parser would take `source` for given, too

    @abstractmethod
    def completed(self, table: pa.Table, origin: str) -> pa.Table:
        """The table with the task's two texts and `given_columns`. Raises `UsageError` if it lacks one."""

    def read(self, split: str, labelled: bool) -> TextRows:
        """The checked rows of a split, with their words marked."""
        place = replace(self.place, splits=self.splits)
        table, origin = read_table(place, split, self.source, self.columns, encoding=self.encoding)
        table = self.completed(numbered_truth(table), origin)
        columns = [table[name].to_pylist() for name in self.given_columns]
        for number, marks in enumerate(self._marks(columns, origin), start=1):
            table = table.append_column(f"{MARKED.name}{number}", pa.array(marks))
        rows = check(self.task, table, origin, beside=[*self.word_columns, MARKED.name])
        return labelled_rows(self.task, rows, split) if labelled else rows

    def given_rows(self, given: Lines) -> TextRows:
        """Two texts a row, with their words marked."""
        columns: list[list[Any]] = [given.column(place) for place in range(len(self.given_columns))]
        for _, place, *_ in self.at:
            columns[place] = [int(text) if text.strip().isdigit() else text for text in columns[place]]
        texts = [[texts[text] for text, *_ in self.at] for texts in given.texts]
        rows = text_rows(Lines(texts, given.ids, given.origin))
        return replace(rows, beside={MARKED.name: self._marks(columns, given.origin)})

    def settings(self) -> dict[str, Any]:
        """How texts are cut."""
        return self.cut()

    def _marks(self, columns: Sequence[Sequence[Any]], origin: str) -> tuple[list[list[int]], ...]:
        """For each span of a row, in every row, 1 at its words and 0 at the other words of its text."""
        spans = [zip(*(columns[place] for place in places), strict=True) for places in self.at]
        return tuple(
            [self._mark(number, f"{origin}, row {row}", *span) for row, span in enumerate(rows)]
            for number, rows in enumerate(spans, start=1)
        )

    def _mark(self, number: int, where: str, text: str, place: Any, span: Any = "word") -> list[int]:
        words, long = len(text.split()), len(span.split()) if isinstance(span, str) else 0
        last = words - max(1, long)
        if not isinstance(place, int) or not long or not 0 <= place <= last:
            wrong = self.wrong.format(number=number, long=long or "some", last=last, span=span, place=place)
            raise UsageError(f"{where}, {wrong}.")
        return [int(place <= word < place + long) for word in range(words)]


class WiC(_Marked):
    """The columns: `sentence1`, `sentence2`; `index1`, `index2`, the word's place in each, from 0, among what stands
    between spaces; `label`, 1 where it means the same.

    SuperGLUE's files have `start1` and `start2` in place of these, the character that the word begins at.

    Args:
        settings: those of `TaskData`.

    Raises:
        UsageError: an unknown split, a bad row, a place that is none, or limits that leave nothing to train on.
    """

    form, place, at = WIC, superglue("wic", "WiC"), ((0, 2), (1, 3))
    lacking = "words of several senses"
    wrong = "index{number}: expected the place of a word, from 0 to {last}, found {place!r}"

    @property
    def given_columns(self) -> tuple[str, ...]:
        """Two sentences, and the word's place in each."""
        return (*self.task.columns, "index1", "index2")

    def completed(self, table: pa.Table, origin: str) -> pa.Table:
        """With the places that beginnings say."""
        for number, texts in enumerate(read_columns(self.task.name, self.task.columns, table, origin), start=1):
            if f"index{number}" not in table.column_names and f"start{number}" in table.column_names:
                starts = zip(texts, table[f"start{number}"].to_pylist(), strict=True)
                places = [len(text[:start].split()) for text, start in starts]
                table = table.append_column(f"index{number}", pa.array(places))
        return require_columns(table, self.given_columns, origin)


class WSC(_Marked):
    """The columns: `text`; `span1_index` and `span1_text`, the noun, its place from 0 among what stands between spaces
    and how it is written; `span2_index` and `span2_text`, the pronoun; `label`, 1 where it stands for the noun. In
    SuperGLUE's files the four are in an object `target`.

    The text is read once for each span, at its words: a pair, like WiC's.

    Args:
        settings: those of `TaskData`.

    Raises:
        UsageError: an unknown split, a bad row, a place that is none, or limits that leave nothing to train on.
    """

    form, place, at = tasks.WSC, WSC_PLACE, ((0, 1, 2), (0, 3, 4))
    lacking = "pronouns"
    wrong = "span{number}: expected {long} words from a place from 0 to {last}, found '{span}' at {place!r}"

    @property
    def given_columns(self) -> tuple[str, ...]:
        """A text; the place and the words of the noun, then those of the pronoun."""
        return ("text", *_SPANS)

    def completed(self, table: pa.Table, origin: str) -> pa.Table:
        """With the text twice."""
        table = with_spans(table, origin)
        read_columns(self.task.name, ("text",), table, origin)
        for column in self.task.columns:
            table = table.append_column(column, table["text"])
        return table


def with_spans(table: pa.Table, origin: str) -> pa.Table:
    """WSC's table with the four columns of spans. Raises `UsageError` if one is missing."""
    if "target" in table.column_names:
        table = renamed(table, {name: f"target.{name}" for name in _SPANS}, origin)
    return require_columns(table, ("text", *_SPANS), origin)

"""SuperGLUE's Winograd schemas as a LightningDataModule: does a pronoun stand for a noun of the same text?"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from lm_lab.data.modules.text_data import TextData
from lm_lab.data.reading.checks import check, labelled_rows, read_columns
from lm_lab.data.reading.column_names import renamed
from lm_lab.data.reading.labels import numbered_truth
from lm_lab.data.reading.lines import Lines
from lm_lab.data.reading.sources import read_table, superglue
from lm_lab.data.reading.text_rows import TextRows, text_rows
from lm_lab.errors import UsageError
from lm_lab.tasks.superglue import WSC as TASK
from lm_lab.tokens import MARKED

_SPANS = ("span1_index", "span1_text", "span2_index", "span2_text")
PLACE = superglue("wsc", "WSC")


class WSC(TextData):
    """The columns: `text`; `span1_index` and `span1_text`, the noun, its place from 0 among what stands between spaces
    and how it is written; `span2_index` and `span2_text`, the pronoun; `label`, 1 where it stands for the noun. In
    SuperGLUE's files the four are in an object `target`.

    The text is read once for each span, at its words: a pair, like WiC's.

    Args:
        settings: those of `TaskData`.

    Raises:
        UsageError: an unknown split, a bad row, a place that is none, or limits that leave nothing to train on.
    """

    def __init__(self, **settings: Any) -> None:
        if settings.get("source") == "microworld":
            raise UsageError("source=microworld: it has no pronouns; give a folder, a file or 'hub'.")
        super().__init__(TASK, **settings)

    def read(self, split: str, labelled: bool) -> TextRows:
        """The checked rows of a split, with the words of both spans marked."""
        place = replace(PLACE, splits=self.splits)
        table, origin = spans(*read_table(place, split, self.source, self.columns, encoding=self.encoding))
        (texts,) = read_columns(self.task.name, ("text",), table, origin)
        for number, column in enumerate(self.task.columns, start=1):
            places, words = (table[f"span{number}_{what}"].to_pylist() for what in ("index", "text"))
            table = table.append_column(column, table["text"])
            marks = pa.array(_marks(texts, places, words, number, origin))
            table = table.append_column(f"{MARKED.name}{number}", marks)
        rows = check(self.task, table, origin, beside=[*self.word_columns, MARKED.name])
        return labelled_rows(self.task, rows, split) if labelled else rows

    @property
    def given_columns(self) -> tuple[str, ...]:
        """A text; the place and the words of the noun, then those of the pronoun."""
        return ("text", *_SPANS)

    def given_rows(self, given: Lines) -> TextRows:
        """A text a row, read at both spans."""
        texts, *spans_ = (given.column(place) for place in range(len(self.given_columns)))
        marks = []
        for number in (1, 2):
            written, words = spans_[2 * number - 2 : 2 * number]
            places = [int(place) if place.strip().isdigit() else place for place in written]
            marks.append(_marks(texts, places, words, number, given.origin))
        rows = text_rows(Lines([[text, text] for text in texts], given.ids, given.origin))
        return replace(rows, beside={MARKED.name: tuple(marks)})

    def settings(self) -> dict[str, Any]:
        """How texts are cut."""
        return self.cut()


def spans(table: pa.Table, origin: str) -> tuple[pa.Table, str]:
    """The table with the four columns of spans and labels 0 and 1. Raises `UsageError` if a column is missing."""
    if "target" in table.column_names:
        table = renamed(table, {name: f"target.{name}" for name in _SPANS}, origin)
    for name in ("text", *_SPANS):
        if name not in table.column_names:
            raise UsageError(f"{origin} has no column '{name}'; it has {', '.join(table.column_names)}.")
    return numbered_truth(table), origin


def _marks(
    texts: Sequence[str], places: Sequence[Any], spans: Sequence[str], number: int, origin: str
) -> list[list[int]]:
    """For each text 1 at the words of its span and 0 at the others."""
    found = []
    for row, (text, place, span) in enumerate(zip(texts, places, spans, strict=True)):
        words, long = len(text.split()), len(span.split()) if isinstance(span, str) else 0
        if not isinstance(place, int) or not long or not 0 <= place <= words - long:
            raise UsageError(
                f"{origin}, row {row}, span{number}: expected {long or 'some'} words from a place from 0 to "
                f"{words - max(1, long)}, found '{span}' at {place!r}."
            )
        found.append([int(place <= word < place + long) for word in range(words)])
    return found

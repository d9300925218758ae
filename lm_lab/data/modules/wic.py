"""WiC as a LightningDataModule: two sentences, in each the place of the word that is asked for."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from lm_lab.data.modules.text_data import TextData
from lm_lab.data.reading.checks import check, labelled_rows, read_columns
from lm_lab.data.reading.labels import numbered_truth
from lm_lab.data.reading.lines import Lines
from lm_lab.data.reading.sources import read_table, superglue
from lm_lab.data.reading.text_rows import TextRows, text_rows
from lm_lab.errors import UsageError
from lm_lab.tasks.wic import WIC
from lm_lab.tokens import MARKED

_PLACES = ("index1", "index2")
_WHERE = superglue("wic", "WiC")


class WiC(TextData):
    """The columns: `sentence1`, `sentence2`; `index1`, `index2`, the word's place in each, from 0, among what stands
    between spaces; `label`, 1 where it means the same.

    SuperGLUE's files have `start1` and `start2` in place of these, the character that the word begins at.

    Args:
        settings: those of `TaskData`.

    Raises:
        UsageError: an unknown split, a bad row, a place that is none, or limits that leave nothing to train on.
    """

    def __init__(self, **settings: Any) -> None:
        if settings.get("source") == "microworld":
            raise UsageError("source=microworld: it has no words of several senses; give a folder, a file or 'hub'.")
        super().__init__(WIC, **settings)

    def read(self, split: str, labelled: bool) -> TextRows:
        """The checked rows of a split, with their words marked."""
        table, origin = read_table(
            replace(_WHERE, splits=self.splits), split, self.source, self.columns, encoding=self.encoding
        )
        table = numbered_truth(table)
        texts = read_columns(self.task.name, self.task.columns, table, origin)
        for number, column in enumerate(texts, start=1):
            marks = pa.array(_marks(column, _places(table, column, number, origin), number, origin))
            table = table.append_column(f"{MARKED.name}{number}", marks)
        rows = check(self.task, table, origin, beside=[*self.word_columns, MARKED.name])
        return labelled_rows(self.task, rows, split) if labelled else rows

    @property
    def given_columns(self) -> tuple[str, ...]:
        """Two sentences, and the word's place in each."""
        return (*self.task.columns, *_PLACES)

    def given_rows(self, given: Lines) -> TextRows:
        """Two sentences a row, with their words marked."""
        marks = []
        for number in (1, 2):
            places = [int(text) if text.strip().isdigit() else text for text in given.column(number + 1)]
            marks.append(_marks(given.column(number - 1), places, number, given.origin))
        rows = text_rows(Lines([texts[:2] for texts in given.texts], given.ids, given.origin))
        return replace(rows, beside={MARKED.name: tuple(marks)})

    def settings(self) -> dict[str, Any]:
        """How texts are cut."""
        return self.cut()


def _places(table: pa.Table, texts: Sequence[str], number: int, origin: str) -> list[Any]:
    """The column of places, or what one of beginnings says."""
    for name in (f"index{number}", f"start{number}"):
        if name in table.column_names:
            found = table[name].to_pylist()
            if name.startswith("index"):
                return found
            return [len(text[:start].split()) for text, start in zip(texts, found, strict=True)]
    raise UsageError(f"{origin} has no column 'index{number}'; it has {', '.join(table.column_names)}.")


def _marks(texts: Sequence[str], places: Sequence[Any], number: int, origin: str) -> list[list[int]]:
    """For each text 1 at its word and 0 at the others."""
    found = []
    for row, (text, place) in enumerate(zip(texts, places, strict=True)):
        words = len(text.split())
        if not isinstance(place, int) or not 0 <= place < words:
            where, last = f"{origin}, row {row}, index{number}", words - 1
            raise UsageError(f"{where}: expected the place of a word, from 0 to {last}, found {place!r}.")
        found.append([int(word == place) for word in range(words)])
    return found

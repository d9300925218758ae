"""Words with the sense that they have where they stand: SemCor, as parquet with a sentence a row."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lm_lab.errors import UsageError

_COLUMNS = ("words", "pos", "lemmas", "senses")
_OPEN = {"N": "noun", "V": "verb", "J": "adjective", "R": "adverb"}


@dataclass(frozen=True)
class Sense:
    """A word in a sentence.

    Attributes:
        sentence, word: its place.
        form: as it stands there, in lower case.
        lemma: with its part of speech, since numbers of senses are of both.
        number: of the sense.
    """

    sentence: int
    word: int
    form: str
    lemma: str
    number: str


def read_senses(source: str | None = None) -> tuple[list[list[str]], list[Sense]]:
    """The sentences, and their words with one known sense; names are left out.

    Args:
        source: a file, or a folder with `semcor/train.parquet`; None: `LM_LAB_DATA`.

    Raises:
        UsageError: no such file, or one without the columns; lists of different lengths in a row.
    """
    source = source or os.environ.get("LM_LAB_DATA")
    if source is None:
        raise UsageError("no senses: give --source FILE or set LM_LAB_DATA to a folder with semcor/train.parquet.")
    path = Path(source) if Path(source).is_file() else Path(source, "semcor", "train.parquet")
    try:
        rows = pq.read_table(path, columns=list(_COLUMNS)).to_pylist()
    except (OSError, pa.ArrowException) as error:
        first = str(error).splitlines()[0]
        raise UsageError(f"{path}: expected parquet with the columns {', '.join(_COLUMNS)} ({first:.100}).") from error
    found = [sense for number, row in enumerate(rows) for sense in _of_row(path, number, row)]
    return [row["words"] for row in rows], found


def _of_row(path: Path, number: int, row: dict[str, list[str]]) -> Iterator[Sense]:
    if len({len(row[name]) for name in _COLUMNS}) > 1:
        raise UsageError(f"{path}, row {number}: expected as many {', '.join(_COLUMNS[1:])} as words.")
    for place, (word, pos, lemma, sense) in enumerate(zip(*(row[name] for name in _COLUMNS), strict=True)):
        # 0 is a word whose sense the annotators did not find; "2;1" one of which they left two
        if pos[:1] in _OPEN and not pos.startswith("NNP") and sense.isdigit() and sense != "0":
            yield Sense(number, place, word.lower(), f"{lemma} ({_OPEN[pos[:1]]})", sense)

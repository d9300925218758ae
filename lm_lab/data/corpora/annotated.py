"""Documents whose phrases and entities come with them, as spans of characters in a second column."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lm_lab.data.corpora import raw
from lm_lab.data.reading.columns import read_column, read_texts
from lm_lab.data.reading.files import FORMATS
from lm_lab.data.reading.texts import UTF_8
from lm_lab.errors import UsageError


class AnnotatedText(NamedTuple):
    """A document, and where its phrases and entities are: from a character to before another."""

    text: str
    spans: tuple[tuple[int, int], ...] = ()


def annotated(
    sources: Sequence[str], column: str, spans: str, split: str = "train", encoding: str = UTF_8
) -> Iterator[AnnotatedText]:
    """Yield the documents of data files with their spans; those without text are left out.

    Args:
        sources: data files, or folders of such.
        column: the column of texts.
        spans: the column of their spans, a list of pairs of characters [start, end) for each text.
        split: what is read of a folder that has such a file.
        encoding: of text files.

    Raises:
        UsageError: as `documents`, or the spans of a row are no such list or lie outside its text.
    """
    for path in (path for source in sources for path in raw.files(source, split)):
        if path.suffix not in FORMATS:
            raise UsageError(f"{path} has no columns, so no spans; give a file that ends in {', '.join(FORMATS)}.")
        rows = zip(read_texts(path, column, encoding), _lists(path, spans, encoding), strict=True)
        for row, (text, pairs) in enumerate(rows):
            if text.strip():
                yield AnnotatedText(text, _checked(pairs, text, f"{path}, row {row}, column '{spans}'"))


def _lists(path: Path, name: str, encoding: str) -> Iterator[Any]:
    for values in read_column(path, name, encoding):
        yield from values.to_pylist()


def _checked(pairs: Any, text: str, where: str) -> tuple[tuple[int, int], ...]:
    try:
        found = sorted((int(start), int(end)) for start, end in pairs or ())
    except (TypeError, ValueError) as error:
        raise UsageError(f"{where}: expected pairs of characters such as [[0, 5], [9, 14]], found {pairs}.") from error
    for start, end in found:
        if not 0 <= start < end <= len(text):
            raise UsageError(f"{where}: [{start}, {end}] is no part of a text of {len(text)} characters.")
    return tuple(found)

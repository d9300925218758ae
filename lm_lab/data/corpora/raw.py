"""Plain text to pretrain on and to make a vocabulary of, read a little at a time: files, folders, the hub.

A document is a line of a text file, or a row of a data file's column. Text that holds a document in several of these (a
paragraph or a sentence each) says by `starts` where a new one begins.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from lm_lab.data.reading.columns import read_texts
from lm_lab.data.reading.files import FORMATS
from lm_lab.data.reading.hub_sets import HubSet, hub_set, stream_hub
from lm_lab.data.reading.texts import UTF_8, read_lines
from lm_lab.errors import UsageError

HUB = "hub:"
_LINES = ".txt"
_SUFFIXES = (*FORMATS, _LINES)


def documents(
    sources: Sequence[str],
    column: str = "text",
    starts: str | None = None,
    split: str = "train",
    encoding: str = UTF_8,
) -> Iterator[str]:
    """Yield the documents of all sources, empty ones left out.

    Args:
        sources: text files with one document a line, data files with a column of texts, folders of either, or
            `hub:NAME` or `hub:NAME:SUBSET@REVISION`, streamed; paths are relative to here, or to `LM_LAB_DATA`.
        column: the column of data files. A tab in it, which would divide a document in two, becomes a space.
        starts: regular expression; a line or row that it matches at its beginning starts a document, and those that
            follow belong to it. None: each is a document.
        split: what is read of a folder that has such a file, and of the hub.
        encoding: of text files.

    Raises:
        UsageError: a source is not there, cannot be read, lacks the column or has no text; `starts` is no expression.
    """
    for source in sources:
        empty = True
        for text in _joined(_pieces(source, column, split, encoding), starts):
            empty = False
            yield text
        if empty:
            raise UsageError(f"'{source}' holds no text; expected one document a line, or in the column '{column}'.")


def files(source: str, split: str = "train") -> list[Path]:
    """The files of a local source: itself, or those of a folder, in the order of their names.

    Raises:
        UsageError: nothing is there, or the folder has no file of text.
    """
    below = os.environ.get("LM_LAB_DATA")
    for path in (Path(source), *([Path(below, source)] if below else [])):
        if path.is_file():
            return [path]
        if path.is_dir():
            return _of_folder(path, split)
    raise UsageError(
        f"no text at '{source}'; give a UTF-8 text file with one document a line, a file that ends in "
        f"{', '.join(FORMATS)}, or a folder of such files, from here or below LM_LAB_DATA; or {HUB}NAME."
    )


def _of_folder(folder: Path, split: str) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES)
    stems = {path.stem for path in found}
    if split in stems:
        return [path for path in found if path.stem == split][:1]
    if found and not stems & {"train", "validation", "test"}:
        return found
    raise UsageError(
        f"the folder '{folder}' has no split {split}; looked for {split}{{{','.join(_SUFFIXES)}}}, "
        "or for files of text without any split."
    )


def _joined(pieces: Iterator[str], starts: str | None) -> Iterator[str]:
    if starts is None:
        yield from (text for piece in pieces if (text := piece.strip()))
        return
    begins, gathered = _expression(starts), list[str]()
    for piece in pieces:
        if begins.match(piece):
            if text := "\n".join(gathered).strip():
                yield text
            gathered.clear()
        gathered.append(piece)
    if text := "\n".join(gathered).strip():
        yield text


def _expression(starts: str) -> re.Pattern[str]:
    try:
        return re.compile(starts)
    except re.error as error:
        raise UsageError(
            f"starts='{starts}' is no regular expression ({error}); ' = [^=]' matches WikiText's titles."
        ) from error


def _pieces(source: str, column: str, split: str, encoding: str) -> Iterator[str]:
    if source.startswith(HUB) and (wanted := hub_set(source)):
        yield from _streamed(wanted, source, column, split)
        return
    for path in files(source, split):
        yield from read_texts(path, column, encoding) if path.suffix in FORMATS else read_lines(path, encoding)


def _streamed(wanted: HubSet, source: str, column: str, split: str) -> Iterator[str]:
    for number, row in enumerate(stream_hub(wanted, split, "Give a file or a folder of text instead")):
        if not isinstance(text := row.get(column), str):
            raise UsageError(f"{source}, row {number}, column '{column}': no text; it has {', '.join(row)}.")
        yield text.replace("\t", " ")

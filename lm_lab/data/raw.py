"""Plain text to pretrain on and to make a vocabulary of: lines of text files, a column of data files."""

import os
from collections.abc import Sequence
from pathlib import Path

from lm_lab.data.checks import read_texts
from lm_lab.data.sources import Place, find, read_file
from lm_lab.errors import UsageError

DATA = (".parquet", ".csv", ".json", ".jsonl")


def documents(sources: Sequence[str], column: str = "text") -> list[str]:
    """The documents of all sources, empty ones left out.

    Args:
        sources: text files with one document a line, data files with a column of texts, or folders that have such a
            file for the split `train`; relative to here, or to `LM_LAB_DATA`.
        column: the column of data files. A tab in it, which would divide a document in two, becomes a space.

    Raises:
        UsageError: a source is not there, cannot be read, lacks the column or has no text.
    """
    return [text for source in sources for text in _documents(source, column)]


def _documents(source: str, column: str) -> list[str]:
    path = _located(source)
    texts = _column(path, column) if path.suffix in DATA else _lines(path)
    if found := [text.strip() for text in texts if text.strip()]:
        return found
    raise UsageError(f"'{source}' holds no text; expected one document a line, or in the column '{column}'.")


def _located(source: str) -> Path:
    below = os.environ.get("LM_LAB_DATA")
    for path in (Path(source), *([Path(below, source)] if below else [])):
        if path.is_file():
            return path
        if path.is_dir():
            return _train(path)
    raise UsageError(
        f"no text at '{source}'; give a UTF-8 text file with one document a line, a file that ends in "
        f"{', '.join(DATA)}, or a folder with train.parquet or the like, from here or below LM_LAB_DATA."
    )


def _train(folder: Path) -> Path:
    found = find(Place(folder.name, (), folder.name), "train", folder)
    if found := found or next((path for path in [folder / "train.txt"] if path.is_file()), None):
        return found
    raise UsageError(f"the folder '{folder}' has no split train; looked for train{{{','.join((*DATA, '.txt'))}}}.")


def _column(path: Path, name: str) -> list[str]:
    table = read_file(path)
    if name not in table.column_names:
        raise UsageError(f"{path} has no column '{name}' of texts; it has {', '.join(table.column_names)} (--column).")
    return [text.replace("\t", " ") for text in read_texts(table[name], name, str(path))]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"'{path}' cannot be read ({error}); give UTF-8 text, one document a line.") from error

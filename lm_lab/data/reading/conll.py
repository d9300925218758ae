"""CoNLL text: a line a word, its tag in the last column, an empty line between sentences."""

from pathlib import Path

import pyarrow as pa

from lm_lab.data.reading.tagged import TAGS, WORDS
from lm_lab.data.reading.texts import UTF_8, read_text
from lm_lab.errors import UsageError

_NAMES = {"validation": ("validation", "valid", "dev", "testa"), "test": ("test", "testb")}
_SUFFIXES = (".txt", ".conll", ".bio")
_DOCUMENT = "-DOCSTART-"  # CoNLL-2003's line between documents, which is no word


def find(split: str, folders: list[Path]) -> Path | None:
    """The file of a split in the first of `folders` that has one."""
    names = [f"{name}{suffix}" for name in _NAMES.get(split, (split,)) for suffix in _SUFFIXES]
    return next((folder / name for folder in folders for name in names if (folder / name).is_file()), None)


def read(path: Path, encoding: str = UTF_8) -> pa.Table:
    """The columns `tokens` and `tags` of a file: the first and the last column of its lines.

    Columns are separated by tabs where a line has one, else by spaces.

    Raises:
        UsageError: a line with one column, or a file of another encoding.
    """
    lines = read_text(path, encoding).split("\n")  # splitlines() would cut at other marks
    sentences: list[list[tuple[str, str]]] = [[]]
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            sentences.append([])
        elif not line.startswith(_DOCUMENT):
            sentences[-1].append(_word(line, number, path))
    found = [sentence for sentence in sentences if sentence]
    columns = {WORDS: [[word for word, _ in s] for s in found], TAGS: [[tag for _, tag in s] for s in found]}
    return pa.table(columns, schema=pa.schema([(name, pa.list_(pa.string())) for name in columns]))


def _word(line: str, number: int, path: Path) -> tuple[str, str]:
    parts = line.rstrip("\r").split("\t") if "\t" in line else line.split()
    if len(parts) < 2:
        raise UsageError(f"{path}, line {number}: one column; expected a word, perhaps others, and its tag.")
    return parts[0], parts[-1].strip()

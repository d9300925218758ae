"""Whole numbers that come with the words of a text, one a word, such as the parents of a tree."""

import json
from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
import pyarrow as pa

from lm_lab.errors import UsageError
from lm_lab.tokens import WordColumn

WordValues = dict[str, tuple[list[list[int]], ...]]  # name -> for each text of a row, the numbers of all rows


def read_word_columns(names: Sequence[str], table: pa.Table, words: Sequence[Sequence[int]], origin: str) -> WordValues:
    """The columns `names` of a table.

    Args:
        names: of one text, the column's own; of two, the columns are NAME1 and NAME2.
        table: with lists of whole numbers in these columns.
        words: how many words each row has, a list for each text.
        origin: the file or source.

    Raises:
        UsageError: a missing column, one that holds something else, or not a number for each word.
    """
    return {name: tuple(_read(table, *one, origin) for one in _named(name, words)) for name in names}


def _named(name: str, words: Sequence[Sequence[int]]) -> Iterator[tuple[str, Sequence[int]]]:
    return zip([name] if len(words) == 1 else (f"{name}{place}" for place in count(1)), words, strict=False)


def _read(table: pa.Table, name: str, words: Sequence[int], origin: str) -> list[list[int]]:
    if name not in table.column_names:
        raise UsageError(
            f"{origin} has no column '{name}' (--data.word_columns); it has {', '.join(table.column_names)}."
        )
    kind, is_ = table[name].type, pa.types
    if not ((is_.is_list(kind) or is_.is_large_list(kind)) and is_.is_integer(kind.value_type)):
        raise UsageError(f"{origin}, column '{name}': expected a list of whole numbers in every row, found {kind}.")
    rows: list[list[int]] = table[name].to_pylist()
    for row, (values, expected) in enumerate(zip(rows, words, strict=True)):
        if values is None or None in values:
            raise UsageError(f"{origin}, row {row}, column '{name}': a null in place of a number.")
        if len(values) != expected:
            raise UsageError(f"{origin}, row {row}, column '{name}': {len(values)} numbers, but {expected} words.")
    return rows


def take(values: WordValues, index: np.ndarray) -> WordValues:
    """Those of the rows at `index`."""
    return {name: tuple([rows[i] for i in index] for rows in texts) for name, texts in values.items()}


def content(values: WordValues) -> Iterator[bytes]:
    """All of it, for a fingerprint; nothing where there is none."""
    if values:
        yield json.dumps(values).encode()


def aligned(column: WordColumn, numbers: Sequence[Sequence[int]], sides: np.ndarray, words: np.ndarray) -> np.ndarray:
    """The number of each token's word, or the place that it points at: (t,) int64.

    Args:
        column: what is asked for.
        numbers: of the words of each text in the row.
        sides: (t,) the text of each token.
        words: (t,) its word in that text, -1 for none.

    Raises:
        ValueError: a number points beyond the words.
    """
    found = np.full(len(words), column.padding, np.int64)
    for side, given in enumerate(numbers):
        places, own = np.flatnonzero((sides == side) & (words >= 0)), np.asarray(given, np.int64)
        found[places] = _pointed(column, own, places, words[places]) if column.points else own[words[places]]
    return found


def _pointed(column: WordColumn, own: np.ndarray, places: np.ndarray, words: np.ndarray) -> np.ndarray:
    if len(own) and not -1 <= own.min() <= own.max() < len(own):
        raise ValueError(f"{own.max() if own.max() >= len(own) else own.min()} is no place from -1 to {len(own) - 1}")
    first = np.full(len(own) + 1, column.padding, np.int64)  # the last one stands for -1, no word
    first[words[::-1]] = places[::-1]  # of the tokens of a word, the first one stays
    return np.where(first[words] == places, first[own[words]], first[words])

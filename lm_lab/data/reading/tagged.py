"""Sentences of tagged words, and their checks: whatever is wrong is named by file, row and column."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from lm_lab.data.reading import word_columns
from lm_lab.data.reading.checks import read_ids
from lm_lab.data.reading.labels import hub_names
from lm_lab.data.reading.word_columns import WordValues
from lm_lab.errors import UsageError
from lm_lab.tasks.entities import OUTSIDE, is_bio, is_bioes, vocabulary
from lm_lab.tasks.tags import Scheme

WORDS, TAGS = "tokens", "tags"
HUB_TAGS = "ner_tags"  # what most sets on the hub call them
_LISTS = "lists are held by .jsonl and .parquet, not by .csv; CoNLL text (train.txt) is read too"


@dataclass(frozen=True)
class TaggedRows:
    """One split: words and tags of n sentences.

    Attributes:
        words: the words of each sentence.
        tags: as many tag ids for each; None where the split has none, as a test set may.
        ids: (n,) int64, unique.
        origin: the file or source, for messages.
        beside: numbers of the words.
    """

    words: list[list[str]]
    tags: list[list[int]] | None
    ids: np.ndarray
    origin: str
    beside: WordValues = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def content(self) -> Iterator[bytes]:
        """Words, tags, ids and what stands beside, for a fingerprint."""
        yield json.dumps([self.words, self.tags]).encode()
        yield self.ids.tobytes()
        yield from word_columns.content(self.beside)

    def take(self, index: np.ndarray) -> "TaggedRows":
        """The rows at `index`, in that order."""
        tags = None if self.tags is None else [self.tags[i] for i in index]
        beside = word_columns.take(self.beside, index)
        return TaggedRows([self.words[i] for i in index], tags, self.ids[index], self.origin, beside)


def check(
    labels: Sequence[str], table: pa.Table, origin: str, numbered: bool = True, beside: Sequence[str] = ()
) -> TaggedRows:
    """Turn a table into `TaggedRows`.

    Args:
        labels: tags in the order of their ids.
        table: lists of words in `tokens` and of tags in `tags` or `ner_tags`: names, or ids as the hub has them.
        origin: the file or source.
        numbered: numbers without names of their own are places among the labels.
        beside: columns of a number a word.

    Raises:
        UsageError: an empty split, a missing column, a null, lists of different lengths, an unknown tag, ids that
            repeat.
    """
    words, names = _words(table, origin), tag_names(table, origin, labels if numbered else ())
    found = word_columns.read_word_columns(beside, table, [[len(sentence) for sentence in words]], origin)
    if names is None:
        return TaggedRows(words, None, read_ids(table, origin), origin, found)
    for row, (a, b) in enumerate(zip(words, names, strict=True)):
        if len(a) != len(b):
            raise UsageError(f"{origin}, row {row}: {len(a)} words in '{WORDS}', but {len(b)} tags.")
    return TaggedRows(words, _numbers(names, labels, origin), read_ids(table, origin), origin, found)


def collect(table: pa.Table, origin: str, scheme: Scheme = "entities") -> tuple[str, ...]:
    """The tags that a table has, by name, of entities O first. Raises `UsageError` if it has no column of them."""
    names = tag_names(table, origin, ())
    if names is None:
        raise UsageError(f"{origin} has no column '{TAGS}'; it has {', '.join(table.column_names)}. Note: {_LISTS}.")
    tags = {tag for sentence in names for tag in sentence}
    if scheme == "plain":
        return tuple(sorted(tags))
    found = vocabulary(tags)
    if not all(map(is_bioes, found)):
        _numbers(names, [tag for tag in found if is_bioes(tag)], origin)
    return found


def tag_names(table: pa.Table, origin: str, labels: Sequence[str]) -> list[list[str]] | None:
    """The tags of each sentence; None without a column of them. Numbers stand for the hub's names, else `labels`."""
    name = next((name for name in (TAGS, HUB_TAGS) if name in table.column_names), None)
    if name is None:
        return None
    rows = _lists(table, name, origin)
    if (empty := next((row for row, tags in enumerate(rows) if "" in tags), None)) is not None:
        raise UsageError(f"{origin}, row {empty}, column '{name}': an empty tag.")
    if not pa.types.is_integer(table[name].type.value_type):
        return rows
    names = hub_names(table, TAGS, HUB_TAGS) or labels
    for row, numbers in enumerate(rows):
        if wrong := [number for number in numbers if not 0 <= number < len(names)]:
            known = f"{len(names)} tags: {', '.join(names)}" if names else "no names for numbers (--data.labels)"
            raise UsageError(f"{origin}, row {row}, column '{name}': no tag {wrong[0]}; there are {known}.")
    return [[names[number] for number in numbers] for numbers in rows]


def _words(table: pa.Table, origin: str) -> list[list[str]]:
    if table.num_rows == 0:
        raise UsageError(f"{origin} is empty; expected rows with the columns {WORDS}, {TAGS}.")
    if WORDS not in table.column_names:
        have = ", ".join(table.column_names)
        raise UsageError(f"{origin} has no column '{WORDS}'; expected {WORDS}, {TAGS}, found {have}.")
    rows = _lists(table, WORDS, origin)
    if pa.types.is_integer(table[WORDS].type.value_type):
        raise UsageError(f"{origin}, column '{WORDS}': expected words, found numbers.")
    return rows


def _lists(table: pa.Table, name: str, origin: str) -> list[list[Any]]:
    """A column of lists of strings or of whole numbers."""
    kind, is_ = table[name].type, pa.types
    item = kind.value_type if is_.is_list(kind) or is_.is_large_list(kind) else kind
    fits = is_.is_string(item) or is_.is_large_string(item) or is_.is_integer(item) or is_.is_null(item)
    if item is kind or not fits:
        raise UsageError(f"{origin}, column '{name}': expected a list of strings in every row, found {kind}; {_LISTS}.")
    rows = table[name].to_pylist()
    for number, row in enumerate(rows):
        if row is None or None in row:
            raise UsageError(f"{origin}, row {number}, column '{name}': a null in place of a list or of a string.")
    return rows


def _numbers(names: list[list[str]], labels: Sequence[str], origin: str) -> list[list[int]]:
    ids = {tag: number for number, tag in enumerate(labels)}
    form, fits = ("O, B-x or I-x", is_bio) if all(map(is_bio, labels)) else ("O, B-x, I-x, E-x or S-x", is_bioes)
    for row, sentence in enumerate(names):
        for tag in sentence:
            if tag not in ids:
                wrong = "an unknown tag" if OUTSIDE not in ids or fits(tag) else f"not of the form {form}"
                raise UsageError(
                    f"{origin}, row {row}, column '{TAGS}': '{tag}' is {wrong}; the tags are {', '.join(labels)} "
                    "(others: --data.labels, or --data.scheme plain for tags that spell no entities)."
                )
    return [[ids[tag] for tag in sentence] for sentence in names]

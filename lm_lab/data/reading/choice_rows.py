"""Questions with options: one split, checked; whatever is wrong is named by file, row and column."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import count, takewhile
from typing import Any, Self

import numpy as np
import pyarrow as pa

from lm_lab.data.reading.checks import read_ids, read_texts
from lm_lab.data.reading.labels import MISSING, UNLABELLED, column_words, key, word
from lm_lab.errors import UsageError

_EXPECTED = (
    "expected the columns context, options (or option_0, option_1, ...), and question and answer if there are any"
)


@dataclass(frozen=True)
class ChoiceRows:
    """One split of n questions.

    Attributes:
        contexts: (n,) what stands before the options: the context, then the question if there is one.
        options: (n,) two or more texts each.
        labels: (n,) int64, the position of the right option; -1 where it is not known.
        ids: (n,) int64, unique.
        origin: the file or source, for messages.
        unlabelled: what was read as "no answer", and how often.
    """

    contexts: list[str]
    options: list[list[str]]
    labels: np.ndarray
    ids: np.ndarray
    origin: str
    unlabelled: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def labelled(self) -> np.ndarray:
        """(n,) bool: which questions have an answer."""
        known: np.ndarray = self.labels != UNLABELLED
        return known

    def content(self) -> Iterator[bytes]:
        """Texts, answers and ids, for a fingerprint."""
        yield json.dumps([self.contexts, self.options]).encode()
        yield self.labels.tobytes() + self.ids.tobytes()

    def beside(self, index: Sequence[int]) -> dict[str, Any]:  # noqa: ARG002
        """What a batch has more: nothing."""
        return {}

    def take(self, index: np.ndarray) -> Self:
        """The questions at `index`, in that order."""
        columns = {own.name: column for own in fields(self) if isinstance(column := getattr(self, own.name), list)}
        kept: dict[str, Any] = {name: [column[i] for i in index] for name, column in columns.items()}
        return replace(self, labels=self.labels[index], ids=self.ids[index], **kept)


def check_choices(table: pa.Table, origin: str) -> ChoiceRows:
    """Turn a table into rows.

    Raises:
        UsageError: an empty split, a missing column, a null text, fewer than two options, an answer that is none of
            them, ids that repeat.
    """
    if table.num_rows == 0:
        raise UsageError(f"{origin} is empty; {_EXPECTED}.")
    if "context" not in table.column_names:
        raise UsageError(f"{origin} has no column 'context'; {_EXPECTED}; it has {', '.join(table.column_names)}.")
    contexts = read_texts(table["context"], "context", origin)
    if "question" in table.column_names:
        asked = column_words(table, "question", origin)
        contexts = [" ".join(filter(None, both)) for both in zip(contexts, asked, strict=True)]
    options = _options(table, origin)
    labels, unlabelled = _labels(table, options, origin)
    return ChoiceRows(contexts, options, labels, read_ids(table, origin), origin, unlabelled)


def _options(table: pa.Table, origin: str) -> list[list[str]]:
    if "options" not in table.column_names:
        return _from_columns(table, origin)
    rows = table["options"].to_pylist()
    for row, options in enumerate(rows):
        if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
            raise UsageError(f"{origin}, row {row}, column 'options': {options!r:.120} is no list of texts.")
        if len(options) < 2:
            raise UsageError(
                f"{origin}, row {row}, column 'options': {len(options)} options; a choice needs 2 or more."
            )
    return rows


def _from_columns(table: pa.Table, origin: str) -> list[list[str]]:
    """The options of columns option_0, option_1, ...; a row with fewer leaves the last ones empty."""
    names = list(takewhile(table.column_names.__contains__, (f"option_{number}" for number in count())))
    if len(names) < 2:
        raise UsageError(f"{origin} has no options; {_EXPECTED}; it has {', '.join(table.column_names)}.")
    found = []
    for row, values in enumerate(zip(*(column_words(table, name, origin) for name in names), strict=True)):
        options = [value for value in values if value]
        if options != list(values[: len(options)]):
            gap = next(name for name, value in zip(names, values, strict=True) if not value)
            raise UsageError(f"{origin}, row {row}, column '{gap}': empty, but a later option is not.")
        if len(options) < 2:
            raise UsageError(f"{origin}, row {row}: {len(options)} options; fill {names[0]} and {names[1]} at least.")
        found.append(options)
    return found


def _labels(table: pa.Table, options: list[list[str]], origin: str) -> tuple[np.ndarray, Counter[str]]:
    """(n,) positions, -1 where there is none; and what was read as none."""
    if "answer" not in table.column_names:
        return np.full(table.num_rows, UNLABELLED), Counter()
    words = column_words(table, "answer", origin)
    named = _option_names(table, options, origin)
    rows = zip(words, options, named, table["answer"].to_pylist(), strict=True)
    found = [_label(*each, f"{origin}, row {row}") for row, each in enumerate(rows)]
    missing = Counter(text for text, place in zip(words, found, strict=True) if text and place == UNLABELLED)
    return np.array(found, dtype=np.int64), missing


def _option_names(table: pa.Table, options: list[list[str]], origin: str) -> list[list[str]]:
    """What the options of each question are called, such as A, B, C; [] where they have no names."""
    if "option_names" not in table.column_names:
        return [[]] * len(options)
    names = table["option_names"].to_pylist()
    for row, (found, own) in enumerate(zip(names, options, strict=True)):
        if not isinstance(found, list) or len(found) != len(own) or len(set(found)) < len(own):
            raise UsageError(
                f"{origin}, row {row}, column 'option_names': expected {len(own)} different names, found {found!r:.80}."
            )
    return [[word(name) or "" for name in found] for found in names]


def _label(text: str | None, options: list[str], names: list[str], given: object, where: str) -> int:
    """The position of an option given by its name, by itself, or as a number from 0."""
    if text in names:
        return names.index(text)
    meant = {place for place, option in enumerate(options) if option == text} | _position(text, len(options))
    if len(meant) == 1:
        return meant.pop()
    if not meant and (text is None or text in MISSING):
        return UNLABELLED
    wrong = "means more than one of the options" if meant else "is none of the options"
    raise UsageError(
        f"{where}, column 'answer': {given!r} {wrong}; expected a position from 0 to {len(options) - 1} "
        "or an option that stands there once and is no position of another."
    )


def _position(text: str | None, options: int) -> set[int]:
    places = {str(place): place for place in range(options)}
    return {places[key(text)]} if text is not None and key(text) in places else set()

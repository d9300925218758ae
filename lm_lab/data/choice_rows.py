"""Questions with options: one split, checked; whatever is wrong is named by file, row and column."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, takewhile

import numpy as np
import pyarrow as pa

from lm_lab.data.checks import UNLABELLED, read_ids, read_texts
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
    """

    contexts: list[str]
    options: list[list[str]]
    labels: np.ndarray
    ids: np.ndarray
    origin: str

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

    def take(self, index: np.ndarray) -> "ChoiceRows":
        """The questions at `index`, in that order."""
        contexts, options = [self.contexts[i] for i in index], [self.options[i] for i in index]
        return ChoiceRows(contexts, options, self.labels[index], self.ids[index], self.origin)


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
        asked = table["question"].cast(pa.string()).to_pylist()
        contexts = [" ".join(filter(None, both)) for both in zip(contexts, asked, strict=True)]
    options = _options(table, origin)
    labels = _labels(table, options, origin)
    return ChoiceRows(contexts, options, labels, read_ids(table, origin), origin)


def _options(table: pa.Table, origin: str) -> list[list[str]]:
    if "options" not in table.column_names:
        return _from_columns(table, origin)
    rows = table["options"].to_pylist()
    for row, options in enumerate(rows):
        if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
            raise UsageError(f"{origin}, row {row}, column 'options': {options!r} is no list of texts.")
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
    for row, values in enumerate(zip(*(table[name].cast(pa.string()).to_pylist() for name in names), strict=True)):
        options = [value for value in values if value]
        if options != list(values[: len(options)]):
            gap = next(name for name, value in zip(names, values, strict=True) if not value)
            raise UsageError(f"{origin}, row {row}, column '{gap}': empty, but a later option is not.")
        if len(options) < 2:
            raise UsageError(f"{origin}, row {row}: {len(options)} options; fill {names[0]} and {names[1]} at least.")
        found.append(options)
    return found


def _labels(table: pa.Table, options: list[list[str]], origin: str) -> np.ndarray:
    if "answer" not in table.column_names:
        return np.full(table.num_rows, UNLABELLED)
    values = zip(table["answer"].to_pylist(), options, strict=True)
    return np.array([_label(value, own, row, origin) for row, (value, own) in enumerate(values)], dtype=np.int64)


def _label(value: object, options: list[str], row: int, origin: str) -> int:
    """The position of an option given by itself, or as a number from 0."""
    if value is None or value in ("", UNLABELLED):
        return UNLABELLED
    meant = {place for place, option in enumerate(options) if option == str(value)} | _position(value, len(options))
    if len(meant) == 1:
        return meant.pop()
    wrong = "means more than one of the options" if meant else "is none of the options"
    raise UsageError(
        f"{origin}, row {row}, column 'answer': {value!r} {wrong}; expected a position from 0 to {len(options) - 1} "
        "or an option that stands there once and is no position of another."
    )


def _position(value: object, options: int) -> set[int]:
    try:
        position = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return set()
    return {int(position)} if position in range(options) else set()

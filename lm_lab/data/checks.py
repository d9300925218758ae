"""Checks of a task's rows: whatever is wrong is named by file, row and column before anything is trained."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lm_lab.data.lines import Lines
from lm_lab.errors import UsageError
from lm_lab.tasks import Task, TextTask

UNLABELLED = -1


@dataclass(frozen=True)
class TextRows:
    """One split: texts, labels and ids of n examples.

    Attributes:
        texts: one or two lists of n strings, in the order of the task's columns.
        labels: (n,) float64; -1 for a row without label (nan where the score is graded).
        ids: (n,) int64, unique.
        origin: the file or source, for messages.
    """

    texts: tuple[list[str], ...]
    labels: np.ndarray
    ids: np.ndarray
    origin: str

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def labelled(self) -> np.ndarray:
        """(n,) bool: which rows have a label."""
        return ~np.isnan(self.labels) & (self.labels != UNLABELLED)

    def content(self) -> Iterator[bytes]:
        """Texts, labels and ids, for a fingerprint."""
        yield "\0".join(["", *(text for column in self.texts for text in column)]).encode()
        yield self.labels.tobytes() + self.ids.tobytes()

    def take(self, index: np.ndarray) -> "TextRows":
        """The rows at `index`, in that order."""
        texts = tuple([column[i] for i in index] for column in self.texts)
        return TextRows(texts, self.labels[index], self.ids[index], self.origin)


def text_rows(lines: Lines) -> TextRows:
    """Lines that a user gives, as rows without labels."""
    texts = tuple(lines.column(place) for place in range(len(lines.texts[0])))
    return TextRows(texts, np.full(len(lines.ids), float(UNLABELLED)), lines.ids, lines.origin)


def check(task: TextTask, table: pa.Table, origin: str) -> TextRows:
    """Turn a table into `TextRows`.

    Raises:
        UsageError: an empty split, a missing column, a null text, a label the task does not know, ids that repeat.
    """
    if table.num_rows == 0:
        raise UsageError(f"{origin} is empty; expected rows with the columns {', '.join(task.columns)}, label.")
    for name in task.columns:
        if name not in table.column_names:
            raise UsageError(
                f"{origin} has no column '{name}'; '{task.name}' needs {', '.join((*task.columns, 'label'))}, "
                f"the file has {', '.join(table.column_names)}."
            )
    texts = tuple(read_texts(table[name], name, origin) for name in task.columns)
    labels = _labels(task, table, origin)
    return TextRows(texts, labels, read_ids(table, origin), origin)


class Labelled(Protocol):
    """Rows of which some have a label."""

    @property
    def origin(self) -> str:
        """The file or source, for messages."""
        ...

    def __len__(self) -> int: ...

    @property
    def labelled(self) -> np.ndarray:
        """(n,) bool: which rows have one."""
        ...

    def take(self, index: np.ndarray) -> Self:
        """The rows at `index`, in that order."""
        ...


R = TypeVar("R", bound=Labelled)


def require_labels(task: Task, rows: R, split: str, column: str = "label") -> R:
    """Drop rows without label, with a warning that counts them. Raises `UsageError` if none has one."""
    labelled = rows.labelled
    if not labelled.any():
        raise UsageError(
            f"{rows.origin}: no row of the split '{split}' is labelled (column '{column}' is absent or -1), so "
            f"'{task.name}' cannot be trained or scored on it; give a labelled split."
        )
    if labelled.all():
        return rows
    from lightning.pytorch.utilities import rank_zero_warn

    rank_zero_warn(f"{rows.origin}: left out {int((~labelled).sum())} of {len(rows)} rows that have no label")
    return rows.take(np.flatnonzero(labelled))


def read_texts(column: pa.ChunkedArray, name: str, origin: str) -> list[str]:
    """A column as texts. Raises `UsageError` if it holds something else, or a row has none."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise UsageError(f"{origin}, column '{name}': expected text, found {column.type}.")
    if column.null_count:
        row = pc.index(pc.is_null(column), True).as_py()
        raise UsageError(f"{origin}, row {row}, column '{name}': no text.")
    return column.to_pylist()


def _labels(task: TextTask, table: pa.Table, origin: str) -> np.ndarray:
    missing = np.nan if task.regression else float(UNLABELLED)
    if "label" not in table.column_names:
        return np.full(table.num_rows, missing)
    values = [_label(task, value, row, origin) for row, value in enumerate(table["label"].to_pylist())]
    return np.array([missing if value is None else value for value in values], dtype=np.float64)


def _label(task: TextTask, value: object, row: int, origin: str) -> float | None:
    """A label as a number, None where there is none."""
    if value is None or value == UNLABELLED:
        return None
    if isinstance(value, str) and value in task.labels:
        return float(task.labels.index(value))
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = np.nan
    low, high = task.label_range if task.regression else (0, len(task.labels) - 1)
    if low <= number <= high and (task.regression or number == int(number)):
        return number
    expected = f"a number from {low:g} to {high:g}" if task.regression else _words(task)
    raise UsageError(f"{origin}, row {row}, column 'label': {value!r} is not {expected}.")


def _words(task: TextTask) -> str:
    return ", ".join(f"{index} ({word})" for index, word in enumerate(task.labels)) + " or -1 (unlabelled)"


def read_ids(table: pa.Table, origin: str) -> np.ndarray:
    """Column `idx`, or row numbers: (n,) int64. Raises `UsageError` if it holds no whole numbers, or one twice."""
    if "idx" not in table.column_names:
        return np.arange(table.num_rows)
    try:
        ids = np.array(table["idx"].to_numpy(), dtype=np.int64)  # a copy: a view of the table cannot be written to
    except (ValueError, TypeError) as error:
        raise UsageError(f"{origin}, column 'idx': expected whole numbers.") from error
    unique, counts = np.unique(ids, return_counts=True)
    if len(unique) < len(ids):
        again = unique[counts > 1][0]
        raise UsageError(f"{origin}, row {np.flatnonzero(ids == again)[1]}, column 'idx': {again} appears twice.")
    return ids

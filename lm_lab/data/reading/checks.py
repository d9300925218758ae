"""Checks of a task's rows: whatever is wrong is named by file, row and column before anything is trained."""

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lm_lab.data.protocols import Labelled
from lm_lab.data.reading.labels import UNLABELLED, class_ids, column_words, hub_names, number, scores
from lm_lab.data.reading.text_rows import TextRows
from lm_lab.data.reading.word_columns import WordValues, read_word_columns
from lm_lab.errors import UsageError
from lm_lab.tasks import Task, TextTask


def check(
    task: TextTask,
    table: pa.Table,
    origin: str,
    numbered: bool = True,
    bounded: bool = True,
    beside: Sequence[str] = (),
) -> TextRows:
    """Turn a table into `TextRows`.

    Args:
        task: its columns and labels.
        table: with these columns, and `label` if the labels are known.
        origin: the file or source.
        numbered: a number that is no class stands for the id of one, as in the hub's schema.
        bounded: refuse scores beyond the task's range.
        beside: columns of a number a word.

    Raises:
        UsageError: an empty split, a missing column, a null text, a label the task does not know, ids that repeat.
    """
    texts = read_columns(task.name, task.columns, table, origin)
    labels, unlabelled = _labels(task, table, origin, numbered, bounded)
    return TextRows(
        texts, labels, read_ids(table, origin), origin, unlabelled, read_beside(beside, table, texts, origin)
    )


def read_beside(names: Sequence[str], table: pa.Table, texts: Sequence[Sequence[str]], origin: str) -> WordValues:
    """Numbers of the words of texts; errors as of `read_word_columns`."""
    words = [[len(text.split()) for text in column] for column in texts] if names else []
    return read_word_columns(names, table, words, origin)


def read_columns(task: str, columns: Sequence[str], table: pa.Table, origin: str) -> tuple[list[str], ...]:
    """The texts of a table. Raises `UsageError` if it is empty, lacks a column, or has a null in place of a text."""
    if table.num_rows == 0:
        raise UsageError(f"{origin} is empty; expected rows with the columns {', '.join(columns)}, label.")
    for name in columns:
        if name not in table.column_names:
            raise UsageError(
                f"{origin} has no column '{name}'; '{task}' needs {', '.join((*columns, 'label'))}, "
                f"the file has {', '.join(table.column_names)}."
            )
    return tuple(read_texts(table[name], name, origin) for name in columns)


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

    said = ", ".join(f"'{text}' in {count} rows" for text, count in sorted(rows.unlabelled.items()) if text)
    said = f": {said}, which is no class unless `labels` names it" if said else ""
    rank_zero_warn(f"{rows.origin}: left out {int((~labelled).sum())} of {len(rows)} rows that have no label{said}")
    return rows.take(np.flatnonzero(labelled))


def labelled_rows(task: TextTask, rows: TextRows, split: str) -> TextRows:
    """The rows that have a label. Raises `UsageError` if there are none, or those to train on have all the same."""
    kept = require_labels(task, rows, split)
    if split == task.train and (kept.labels == kept.labels[0]).all():
        value = kept.labels[0]
        same = f"score is {value:g}" if task.regression else f"label is '{task.labels[int(value)]}'"
        raise UsageError(f"{rows.origin}, column 'label': every {same}; there is nothing to learn from.")
    return kept


def require_written(columns: Sequence[str], rows: TextRows) -> None:
    """Raise `UsageError` if a text is empty: the hub's sets have some, on purpose; a user's own are mistakes."""
    for name, texts in zip(columns, rows.texts, strict=True):
        if (row := next((row for row, text in enumerate(texts) if not text.strip()), None)) is not None:
            raise UsageError(f"{rows.origin}, row {row}, column '{name}': no text.")


def read_texts(column: pa.ChunkedArray, name: str, origin: str) -> list[str]:
    """A column as texts. Raises `UsageError` if it holds something else, or a row has none."""
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise UsageError(f"{origin}, column '{name}': expected text, found {column.type}.")
    if column.null_count:
        row = pc.index(pc.is_null(column), True).as_py()
        raise UsageError(f"{origin}, row {row}, column '{name}': no text.")
    return column.to_pylist()


def _labels(
    task: TextTask, table: pa.Table, origin: str, numbered: bool, bounded: bool
) -> tuple[np.ndarray, Counter[str]]:
    """(n,) labels, nan where there is none; and what was read as none."""
    if "label" not in table.column_names:
        return np.full(table.num_rows, np.nan), Counter()
    names = hub_names(table, "label")
    words = column_words(table, "label", origin, names if set(names) <= set(task.labels) else ())
    if task.regression:
        values, missing = scores(words, *task.label_range)
        wrong = [value is not None and not _fits(task, value, bounded) for value in values]
    else:
        values, missing = class_ids(words, task.labels, numbered)  # type: ignore[assignment]
        wrong = [value == UNLABELLED for value in values]
    if any(wrong):
        row = wrong.index(True)
        expected = _expected(task, ids=numbered or number(words[row]) is None)
        raise UsageError(f"{origin}, row {row}, column 'label': {table['label'][row].as_py()!r} is not {expected}.")
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64), missing


def _fits(task: TextTask, value: float, bounded: bool) -> bool:
    return task.label_range[0] <= value <= task.label_range[1] if bounded else not np.isnan(value)


def _expected(task: TextTask, ids: bool) -> str:
    if task.regression:
        return "a number from {:g} to {:g} (label_range)".format(*task.label_range)
    ids = ids and all(number(label) is None for label in task.labels)
    known = (f"{index} ({label})" if ids else label for index, label in enumerate(task.labels))
    return ", ".join(known) + " or -1 (unlabelled)"


def read_ids(table: pa.Table, origin: str) -> np.ndarray:
    """Column `idx`, or row numbers: (n,) int64. Raises `UsageError` if it holds no whole numbers, or one twice."""
    if "idx" not in table.column_names:
        return np.arange(table.num_rows)
    try:
        given = table["idx"].cast(pa.int64()).to_pylist()
        ids = np.array(given, dtype=np.int64)
    except (pa.ArrowException, TypeError) as error:  # a null is no number
        raise UsageError(f"{origin}, column 'idx': expected a whole number in every row.") from error
    unique, counts = np.unique(ids, return_counts=True)
    if len(unique) < len(ids):
        again = unique[counts > 1][0]
        raise UsageError(f"{origin}, row {np.flatnonzero(ids == again)[1]}, column 'idx': {again} appears twice.")
    return ids

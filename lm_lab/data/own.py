"""A user's own texts as a LightningDataModule: any folder, csv, jsonl or parquet, a class or a graded score."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lm_lab.data.checks import UNLABELLED, TextRows, check, require_labels
from lm_lab.data.sources import Place, read_table
from lm_lab.data.text_data import TextData
from lm_lab.errors import UsageError
from lm_lab.tasks import TextTask
from lm_lab.tasks.metrics import accuracy, f1, matthews, pearson, spearman
from lm_lab.tasks.task import Metric

METRICS: dict[str, Metric] = {metric.__name__: metric for metric in (accuracy, f1, matthews, pearson, spearman)}
_GRADED = ("pearson", "spearman")
_FORM = {"sentence", "sentence2", "label", "idx"}
_COLUMNS = {"sentence": "sentence", "label": "label"}


class OwnTexts(TextData):
    """Text classification, or a graded score, on data of your own.

    Args:
        name: what the task is called; also a folder below the source, where there is one.
        columns: `sentence`, `sentence2` for pairs, and `label`, each with its name in the data; those left out are
            called so there too.
        labels: class words in the order of their ids; None takes what the label column of the training split holds, in
            order. A column with a number that is not whole is a graded score.
        label_range: lowest and highest graded score; None takes those of the training split.
        metrics: of accuracy, f1, matthews, pearson and spearman; None is accuracy, or the two last for a score.
        settings: those of `TaskData`.

    Raises:
        UsageError: no such data, a bad row, labels that are no classes, or an unknown metric.
    """

    def __init__(
        self,
        name: str = "own",
        columns: dict[str, str] | None = None,
        labels: list[str] | None = None,
        label_range: tuple[float, float] | None = None,
        metrics: list[str] | None = None,
        source: str | None = None,
        **settings: Any,
    ) -> None:
        self.place, columns = Place(name, (name,), name), _COLUMNS | (columns or {})
        if unknown := set(columns) - _FORM:
            raise UsageError(f"columns: {min(unknown)!r} is none of this form's; it has {', '.join(sorted(_FORM))}.")
        if labels is None and label_range is None:
            labels, label_range = _labels(*read_table(self.place, "train", source, columns))
        task = TextTask(
            name,
            ("sentence", "sentence2") if "sentence2" in columns else ("sentence",),
            tuple(labels or ()),
            label_range=(label_range[0], label_range[1]) if label_range else (0.0, 1.0),
            metrics=_metrics(metrics, graded=not labels),
            test=(("test", name),),
        )
        super().__init__(task, source=source, columns=columns, **settings)

    def read(self, split: str, labelled: bool) -> TextRows:
        """The checked rows of a split."""
        columns = dict(self.columns or {})
        if not labelled:  # a split to predict may lack them
            columns.pop("label")
        table, origin = read_table(self.place, split, self.source, columns)
        rows = check(self.task, table if self.task.regression else _as_words(table), origin)
        return require_labels(self.task, rows, split) if labelled else rows

    def settings(self) -> dict[str, Any]:
        """The task as it was found, so that it is the same without the training split, and the longest sequence."""
        task = self.task
        kind = {"label_range": list(task.label_range)} if task.regression else {"labels": list(task.labels)}
        metrics = [metric.__name__ for metric in task.metrics]
        return {"name": task.name, "columns": self.columns, "metrics": metrics, "max_length": self.max_length} | kind


def _labels(table: pa.Table, origin: str) -> tuple[list[str] | None, tuple[float, float] | None]:
    """Class words, or the range of a graded score."""
    column = table["label"]
    if pa.types.is_floating(column.type) and not _whole(column):
        low, high = pc.min_max(column).as_py().values()
        if low == high:
            raise UsageError(f"{origin}, column 'label': every score is {low:g}; there is nothing to learn from.")
        return None, (low, high)
    words = _words(pc.unique(column), origin)
    if len(words) < 2:
        raise UsageError(
            f"{origin}, column 'label': {', '.join(words) or 'nothing'} is all there is; expected two classes or more, "
            "or numbers that are not whole, or label_range, for a graded score."
        )
    return words, None


def _words(values: pa.Array, origin: str) -> list[str]:
    """Different labels in order: numbers by size."""
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return sorted(word for word in values.to_pylist() if word)
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_boolean(values.type)):
        raise UsageError(f"{origin}, column 'label': expected words or numbers, found {values.type}.")
    known = sorted(value for value in values.to_pylist() if value is not None and value != UNLABELLED)
    return [_word(value) for value in known]


def _as_words(table: pa.Table) -> pa.Table:
    """The table with numbers of its label column as the words they are among the labels, and none for unlabelled."""
    if "label" not in table.column_names:
        return table
    words = [None if value in (None, "", UNLABELLED) else _word(value) for value in table["label"].to_pylist()]
    return table.set_column(table.column_names.index("label"), "label", pa.array(words, pa.string()))


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _whole(column: pa.ChunkedArray) -> bool:
    known = column.drop_null()
    return bool(pc.all(pc.equal(known, pc.floor(known))).as_py())


def _metrics(names: Sequence[str] | None, graded: bool) -> tuple[Metric, ...]:
    names = names or (_GRADED if graded else ("accuracy",))
    if wrong := [name for name in names if name not in METRICS or (name in _GRADED) != graded]:
        fitting: Mapping[bool, Sequence[str]] = {
            True: _GRADED,
            False: [name for name in METRICS if name not in _GRADED],
        }
        kind = "a graded score" if graded else "classes"
        raise UsageError(f"metrics: {wrong[0]!r} is none for {kind}; choose from {', '.join(fitting[graded])}.")
    return tuple(METRICS[name] for name in names)

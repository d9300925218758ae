"""A user's own texts as a LightningDataModule: any folder or data file, a class or a graded score."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from lightning.pytorch.utilities import rank_zero_warn

from lm_lab.data.checks import TextRows, check, labelled_rows, require_written
from lm_lab.data.labels import (
    Label,
    classes,
    column_words,
    given_labels,
    hub_names,
    is_graded,
    score_range,
    second,
)
from lm_lab.data.limits import finite
from lm_lab.data.sources import Place, read_table
from lm_lab.data.text_data import TextData
from lm_lab.data.texts import UTF_8
from lm_lab.errors import UsageError
from lm_lab.tasks import TextTask
from lm_lab.tasks.metrics import accuracy, f1, f1_macro, f1_micro, f1_weighted, matthews, pearson, spearman
from lm_lab.tasks.names import file_name
from lm_lab.tasks.task import Metric

METRICS: dict[str, Metric] = {
    metric.__name__: metric for metric in (accuracy, f1, matthews, f1_macro, f1_micro, f1_weighted, pearson, spearman)
}
_GRADED = ("pearson", "spearman")
_FORM = {"sentence", "sentence2", "label", "idx"}
_COLUMNS = {"sentence": "sentence", "label": "label"}
Range = tuple[float, float]


class OwnTexts(TextData):
    """Text classification, or a graded score, on data of your own.

    Args:
        name: what the task is called; also a folder below the source, where there is one.
        columns: `sentence`, `sentence2` for pairs, and `label`, each with its name in the data; those left out are
            called so there too.
        labels: class words in the order of their ids; None takes what the label column of the training split holds, in
            order. A column of numbers of which one is not whole is a graded score.
        label_range: lowest and highest graded score; None takes those of the training and the validation split.
        metrics: of accuracy, f1, matthews, f1_macro, f1_micro and f1_weighted; of pearson and spearman for a score.
            None is accuracy, or the two last.
        positive: the class that `f1` is of, which becomes the second; None: the second of two.
        numbered: where `labels` are given and none of them is a number, a column of numbers holds their ids.
        settings: those of `TaskData`.

    Raises:
        UsageError: no such data, a bad row, labels that are no classes, or an unknown metric.
    """

    def __init__(
        self,
        name: str = "own",
        columns: dict[str, str] | None = None,
        labels: list[Label] | None = None,
        label_range: Range | None = None,
        metrics: list[str] | None = None,
        positive: Label | None = None,
        numbered: bool = True,
        source: str | None = None,
        **settings: Any,
    ) -> None:
        self.place, columns = Place(name, (name,), name), _COLUMNS | (columns or {})
        file = file_name(name)
        if unknown := set(columns) - _FORM:
            raise UsageError(f"columns: {min(unknown)!r} is none of this form's; it has {', '.join(sorted(_FORM))}.")
        words, bounds = given_labels(labels), _bounds(label_range)
        self.numbered = numbered and bool(words)
        if not words and not bounds:
            words, bounds = self._found(source, columns, settings.get("encoding", UTF_8))
            words = second(words, positive)
        self.positive = _positive(positive, words, metrics or ())
        task = TextTask(
            file,
            ("sentence", "sentence2") if "sentence2" in columns else ("sentence",),
            words,
            label_range=bounds or (0.0, 1.0),
            metrics=_metrics(metrics, graded=not words),
            test=(("test", file),),
        )
        super().__init__(task, source=source, columns=columns, **settings)

    def read(self, split: str, labelled: bool) -> TextRows:
        """The checked rows of a split."""
        columns, trained = dict(self.columns or {}), split == self.task.train
        if not labelled:  # a split to predict may lack them
            columns.pop("label")
        table, origin = read_table(self.place, split, self.source, columns, encoding=self.encoding)
        rows = check(self.task, table, origin, self.numbered, bounded=trained)
        require_written(self.task, rows)
        if self.task.regression and not trained:
            _report_beyond(rows, *self.task.label_range)
        return labelled_rows(self.task, rows, split) if labelled else rows

    def settings(self) -> dict[str, Any]:
        """The task as it was found, so that it is the same without the training split, and how texts are cut."""
        task = self.task
        kind = {"label_range": list(task.label_range)} if task.regression else {"labels": list(task.labels)}
        metrics = [metric.__name__ for metric in task.metrics]
        found = {"name": self.place.name, "columns": self.columns, "metrics": metrics, "numbered": self.numbered}
        positive = {"positive": self.positive} if self.positive else {}
        return found | self.cut() | kind | positive

    def _found(
        self, source: str | None, columns: dict[str, str], encoding: str
    ) -> tuple[tuple[str, ...], Range | None]:
        """Class words, or the range of a graded score."""
        table, origin = read_table(self.place, "train", source, columns, encoding=encoding)
        words = column_words(table, "label", origin, hub_names(table, "label"))
        if not is_graded(words):
            return _two(classes(words), origin), None
        try:
            other, _ = read_table(self.place, "validation", source, columns, encoding=encoding)
            more = column_words(other, "label", origin)
        except UsageError:  # is told when the split is read, if it ever is
            more = []
        low, high = score_range([*words, *more])
        if low == high:
            raise UsageError(f"{origin}, column 'label': every score is {low:g}; there is nothing to learn from.")
        return (), (low, high)


def _two(words: tuple[str, ...], origin: str) -> tuple[str, ...]:
    if len(words) < 2:
        raise UsageError(
            f"{origin}, column 'label': {', '.join(words) or 'nothing'} is all there is; expected two classes or more, "
            "or numbers that are not whole, or label_range, for a graded score. -1 is read as no label, unless "
            "`labels` names it."
        )
    return words


def _positive(positive: Label | None, words: Sequence[str], metrics: Sequence[str]) -> str | None:
    """The class that F1 is of. Raises `UsageError` if it is not the second, or F1 is of no class."""
    if positive is None:
        if "f1" in metrics and len(words) > 2:
            raise UsageError(
                f"metrics: f1 is of one class, and there are {', '.join(words)}; name it (positive), or take f1_macro, "
                "f1_micro or f1_weighted."
            )
        return None
    if "f1" not in metrics:
        raise UsageError(f"positive='{positive}' is the class that f1 is of; add f1 to metrics.")
    if second(words, positive) != tuple(words):
        raise UsageError(
            f"positive='{positive}': f1 is of the second class; give it second: labels {', '.join(words)}."
        )
    return words[1]


def _bounds(label_range: Range | None) -> Range | None:
    """The range that a user gives."""
    if label_range is None:
        return None
    low, high = label_range
    finite(lowest=low, highest=high)
    if low >= high:
        raise UsageError(f"label_range=[{low:g}, {high:g}]: expected the lowest score, then a higher one.")
    return float(low), float(high)


def _report_beyond(rows: TextRows, low: float, high: float) -> None:
    """Scores that no prediction can reach are no mistake where nothing is trained on them."""
    beyond = int(np.sum((rows.labels < low) | (rows.labels > high)))
    if beyond:
        rank_zero_warn(
            f"{rows.origin}: {beyond} of {len(rows)} scores are not from {low:g} to {high:g}, where all predictions "
            "are (label_range)"
        )


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

"""A user's own texts as a LightningDataModule: any folder or data file, a class or a graded score."""

from typing import Any

import numpy as np
from lightning.pytorch.utilities import rank_zero_warn

from lm_lab.data.modules.own_settings import (
    Range,
    Weights,
    bounds,
    known_columns,
    metrics_by_name,
    positive_class,
    two,
    weights,
)
from lm_lab.data.modules.text_data import TextData
from lm_lab.data.reading.checks import check, labelled_rows, require_written
from lm_lab.data.reading.labels import (
    Label,
    Words,
    class_ids,
    classes,
    column_words,
    given_labels,
    hub_names,
    is_graded,
    score_range,
    second,
)
from lm_lab.data.reading.sources import Place, read_table
from lm_lab.data.reading.text_rows import TextRows
from lm_lab.data.reading.texts import UTF_8
from lm_lab.errors import UsageError
from lm_lab.tasks import TextTask
from lm_lab.tasks.names import file_name


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
        class_weights: what the loss of a class counts: "balanced" for rows / (classes * rows of the class), as
            scikit-learn has it, over the training split; or a number for each class, 1 for those left out.
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
        class_weights: Weights | None = None,
        numbered: bool = True,
        source: str | None = None,
        **settings: Any,
    ) -> None:
        self.place = Place(name, (name,), name, splits=settings.get("splits") or {})
        columns = known_columns(columns)
        file = file_name(name)
        words, limits = given_labels(labels), bounds(label_range)
        self.numbered, encoding = numbered and bool(words), settings.get("encoding", UTF_8)
        if not words and not limits:
            words, limits = self._found(source, columns, encoding)
            words = second(words, positive)
        self.positive = positive_class(positive, words, metrics or ())
        counts = self._counts(words, source, columns, encoding) if class_weights == "balanced" else None
        task = TextTask(
            file,
            ("sentence", "sentence2") if "sentence2" in columns else ("sentence",),
            words,
            label_range=limits or (0.0, 1.0),
            metrics=metrics_by_name(metrics, graded=not words),
            class_weights=weights(class_weights, words, counts),
            test=(("test", file),),
        )
        super().__init__(task, source=source, columns=columns, **settings)

    def read(self, split: str, labelled: bool) -> TextRows:
        """The checked rows of a split."""
        columns, trained = dict(self.columns or {}), split == self.task.train
        if not labelled:  # a split to predict may lack them
            columns.pop("label")
        table, origin = read_table(self.place, split, self.source, columns, encoding=self.encoding)
        rows = check(self.task, table, origin, self.numbered, bounded=trained, beside=self.word_columns)
        require_written(self.task.columns, rows)
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

    def _words(self, split: str, source: str | None, columns: dict[str, str], encoding: str) -> tuple[Words, str]:
        """The labels of a split as they are written, and its origin."""
        table, origin = read_table(self.place, split, source, columns, encoding=encoding)
        return column_words(table, "label", origin, hub_names(table, "label")), origin

    def _found(
        self, source: str | None, columns: dict[str, str], encoding: str
    ) -> tuple[tuple[str, ...], Range | None]:
        """Class words, or the range of a graded score."""
        words, origin = self._words("train", source, columns, encoding)
        if not is_graded(words):
            return two(classes(words), origin), None
        try:
            more = self._words("validation", source, columns, encoding)[0]
        except UsageError:  # is told when the split is read, if it ever is
            more = []
        low, high = score_range([*words, *more])
        if low == high:
            raise UsageError(f"{origin}, column 'label': every score is {low:g}; there is nothing to learn from.")
        return (), (low, high)

    def _counts(self, labels: tuple[str, ...], source: str | None, columns: dict[str, str], encoding: str) -> list[int]:
        """How many training rows each class has."""
        ids = class_ids(self._words("train", source, columns, encoding)[0], labels, self.numbered)[0]
        return [ids.count(place) for place in range(len(labels))]


def _report_beyond(rows: TextRows, low: float, high: float) -> None:
    """Scores that no prediction can reach are no mistake where nothing is trained on them."""
    beyond = int(np.sum((rows.labels < low) | (rows.labels > high)))
    if beyond:
        rank_zero_warn(
            f"{rows.origin}: {beyond} of {len(rows)} scores are not from {low:g} to {high:g}, where all predictions "
            "are (label_range)"
        )

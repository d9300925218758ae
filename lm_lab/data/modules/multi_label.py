"""A user's own texts with any number of classes each as a LightningDataModule."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from lm_lab.data.encoding.encoding import Encoding
from lm_lab.data.encoding.texts import EncodedTexts, encode_texts
from lm_lab.data.modules.base import TaskData
from lm_lab.data.modules.own_settings import COLUMNS, known_columns
from lm_lab.data.reading.checks import read_beside, read_columns, read_ids, require_labels, require_written
from lm_lab.data.reading.labels import Label, classes, given_labels, hub_names, key, word
from lm_lab.data.reading.lines import Lines
from lm_lab.data.reading.sources import Place, read_table
from lm_lab.data.reading.text_rows import TextRows, text_rows
from lm_lab.data.reading.texts import UTF_8
from lm_lab.errors import UsageError
from lm_lab.metrics import Metric, f1_macro, f1_micro, f1_weighted, subset_accuracy
from lm_lab.tasks.multi_label import MultiLabelTask
from lm_lab.tasks.names import file_name

METRICS: dict[str, Metric] = {m.__name__: m for m in (f1_micro, f1_macro, f1_weighted, subset_accuracy)}


class MultiLabelTexts(TaskData):
    """Texts of which several classes may hold at once: topics, emotions, tags of a post.

    Args:
        name: what the task is called; also a folder below the source, where there is one.
        columns: `sentence`, `sentence2` for pairs, and `label`, each with its name in the data. A label is a list of
            words, or in csv and tsv one text with `separator` between them; an empty one says that no class holds.
        labels: class words in the order of their ids; None takes what the training split holds, in order.
        metrics: of f1_micro, f1_macro, f1_weighted and subset_accuracy; None is the first.
        separator: stands between the classes of a text.
        settings: those of `TaskData`.

    Raises:
        UsageError: no such data, a bad row, a class that is none, or an unknown metric.
    """

    task: MultiLabelTask
    carries = True

    def __init__(
        self,
        name: str = "own",
        columns: dict[str, str] | None = None,
        labels: list[Label] | None = None,
        metrics: list[str] | None = None,
        separator: str = ",",
        source: str | None = None,
        **settings: Any,
    ) -> None:
        if wrong := [metric for metric in metrics or () if metric not in METRICS]:
            raise UsageError(f"metrics: {wrong[0]!r} is none of {', '.join(METRICS)}.")
        if not separator:
            raise UsageError("separator='': expected what stands between the classes of a text, such as a comma.")
        self.place = Place(name, (name,), name, splits=settings.get("splits") or {})
        self.separator = separator
        columns, file = known_columns(columns), file_name(name)
        words = given_labels(labels) or self._found(source, columns, settings.get("encoding", UTF_8))
        task = MultiLabelTask(
            file,
            ("sentence", "sentence2") if "sentence2" in columns else ("sentence",),
            words,
            metrics=tuple(METRICS[metric] for metric in metrics or ["f1_micro"]),
            test=(("test", file),),
        )
        super().__init__(task, source=source, columns=columns, **settings)

    def read(self, split: str, labelled: bool) -> TextRows:
        """The checked rows of a split; labels (n, k)."""
        columns = dict(self.columns or COLUMNS)
        if not labelled:  # a split to predict may lack them
            columns.pop("label")
        table, origin = read_table(self.place, split, self.source, columns, encoding=self.encoding)
        texts = read_columns(self.task.name, self.task.columns, table, origin)
        beside = read_beside(self.word_columns, table, texts, origin)
        rows = TextRows(texts, self._indicators(table, origin), read_ids(table, origin), origin, beside=beside)
        require_written(self.task.columns, rows)
        if not labelled:
            return rows
        rows = require_labels(self.task, rows, split)
        if split == self.task.train and (rows.labels == rows.labels[0]).all():
            raise UsageError(f"{origin}, column 'label': all rows have the same; there is nothing to learn from.")
        return rows

    @property
    def given_columns(self) -> tuple[str, ...]:
        """A text, or two."""
        return self.task.columns

    def given_rows(self, given: Lines) -> TextRows:
        """A text a row, or two."""
        rows = text_rows(given)
        return TextRows(rows.texts, np.full((len(rows), self.task.outputs), np.nan), rows.ids, rows.origin)

    def encode_rows(self, rows: TextRows, encoding: Encoding, train: bool) -> EncodedTexts:  # noqa: ARG002
        """One or two texts a row as tokens."""
        return encode_texts(rows, encoding)

    def settings(self) -> dict[str, Any]:
        """The task as it was found, so that it is the same without the training split, and how texts are cut."""
        kept = {"name": self.place.name, "columns": self.columns, "separator": self.separator}
        metrics = [metric.__name__ for metric in self.task.metrics]
        return kept | {"metrics": metrics, "labels": list(self.task.labels)} | self.cut()

    def _found(self, source: str | None, columns: dict[str, str], encoding: str) -> tuple[str, ...]:
        table, origin = read_table(self.place, "train", source, columns, encoding=encoding)
        found = classes(text for texts in self._words(table, origin) for text in texts or ())
        if len(found) < 2:
            raise UsageError(f"{origin}, column 'label': {', '.join(found) or 'nothing'} is all there is; give two.")
        return found

    def _indicators(self, table: pa.Table, origin: str) -> np.ndarray:
        """(n, k) 1 where a class holds, nan in rows without label."""
        ids = {key(label): place for place, label in enumerate(self.task.labels)}
        found = np.zeros((table.num_rows, len(ids)))
        if "label" not in table.column_names:
            return np.full_like(found, np.nan)
        for row, texts in enumerate(self._words(table, origin)):
            if texts is None:
                found[row] = np.nan
                continue
            if unknown := [text for text in texts if key(text) not in ids]:
                known = ", ".join(self.task.labels)
                raise UsageError(f"{origin}, row {row}, column 'label': {unknown[0]!r} is none of the classes {known}.")
            found[row, [ids[key(text)] for text in texts]] = 1
        return found

    def _words(self, table: pa.Table, origin: str) -> list[list[str] | None]:
        """The classes of each row, None where a row has no label."""
        names = dict(enumerate(hub_names(table, "label")))
        rows = enumerate(table["label"].to_pylist())
        return [self._split(value, names, f"{origin}, row {row}") for row, value in rows]

    def _split(self, value: Any, names: dict[int, str], where: str) -> list[str] | None:
        if value is None:
            return None
        parts: Sequence[Any] = value.split(self.separator) if isinstance(value, str) else value
        if not isinstance(parts, list) or not all(isinstance(part, str | bool | int | float) for part in parts):
            raise UsageError(f"{where}, column 'label': expected a list of words, found {value!r:.80}.")
        named = [names.get(part, part) if isinstance(part, int) else part for part in parts]
        return [text for part in named if (text := (word(part) or "").strip())]

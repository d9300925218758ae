"""Tasks of SuperGLUE as T5 casts them (Raffel et al. 2020, appendix D): a text in, a text out.

copa     copa choice1: ... choice2: ... premise: ... question: cause          -> choice1
wic      wic sentence1: ... sentence2: ... word: ...                          -> True
wsc      wsc: ... with *it* in stars                                          -> the noun; trained where the label is 1
record   record query: ... entities: ..., ... passage: ...                    -> an entity; trained on each right one
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from lm_lab.data.encoding.encoding import Encoding
from lm_lab.data.encoding.sequences import EncodedSequences, SequenceRows, encode_sequences, source_rows
from lm_lab.data.modules.base import TaskData
from lm_lab.data.modules.marked import WSC_PLACE, with_spans
from lm_lab.data.reading import option_rows
from lm_lab.data.reading.checks import read_ids, require_labels
from lm_lab.data.reading.column_names import require_columns
from lm_lab.data.reading.labels import UNLABELLED, numbered_truth
from lm_lab.data.reading.lines import Lines
from lm_lab.data.reading.sources import Place, read_table, superglue
from lm_lab.errors import UsageError
from lm_lab.metrics import accuracy
from lm_lab.tasks.sequences import SequenceTask, TextToText
from lm_lab.tasks.written import WrittenAnswer, WrittenNoun
from lm_lab.tokens import end_token

_TRUTH = ("False", "True")
_CHOICES = ("choice1", "choice2")


@dataclass(frozen=True)
class _Example:
    """A row: what is read; what may be written, the first of which is trained on; its label, nan if unknown."""

    source: str
    golds: tuple[str, ...]
    label: float


@dataclass(frozen=True)
class _Cast:
    """How a task is cast: its place, its form, and the examples of a table with their ids."""

    place: Place
    form: SequenceTask
    examples: Callable[[pa.Table, str], tuple[list[_Example], np.ndarray]]


class TextToTextSuperGLUE(TaskData):
    """COPA, WiC, WSC or ReCoRD with the answer as the text to be written; BoolQ and CB are tasks of `TextToTextGLUE`.

    Args:
        task: copa, wic, wsc or record.
        max_length: longest source in tokens.
        eval_batch_size: sources that are answered at a time.
        settings: those of `TaskData`.

    Raises:
        UsageError: another task, an unknown split, a bad row.
    """

    task: SequenceTask

    def __init__(self, task: str, max_length: int = 512, eval_batch_size: int = 32, **settings: Any) -> None:
        if task not in _CASTS:
            raise UsageError(f"task={task}: expected {', '.join(_CASTS)}; boolq and cb are tasks of TextToTextGLUE.")
        self.cast = _CASTS[task]
        super().__init__(self.cast.form, max_length=max_length, eval_batch_size=eval_batch_size, **settings)

    def read(self, split: str, labelled: bool) -> SequenceRows:
        """The checked rows of a split; to train on, one for each right entity, and none of a pronoun's other nouns."""
        place = replace(self.cast.place, splits=self.splits)
        table, origin = read_table(place, split, self.source, self.columns, (), self.encoding)
        examples, ids = self.cast.examples(numbered_truth(table), origin)
        if split == self.task.train and not isinstance(self.task, TextToText):
            examples = [replace(each, golds=(gold,)) for each in examples if each.label > 0 for gold in each.golds]
            ids = np.arange(len(examples))
        rows = SequenceRows(
            [each.source for each in examples],
            [next(iter(each.golds), "") for each in examples],
            np.array([each.label for each in examples]),
            ids,
            origin,
            [list(each.golds) for each in examples],
        )
        return require_labels(self.task, rows, split) if labelled else rows

    @property
    def given_columns(self) -> tuple[str, ...]:
        """A source as it is cast."""
        return ("source",)

    def given_rows(self, given: Lines) -> SequenceRows:
        """A source a row."""
        return source_rows(given.column(0), given)

    def encode_rows(self, rows: SequenceRows, encoding: Encoding, train: bool) -> EncodedSequences:  # noqa: ARG002
        """Sources and targets as tokens."""
        return encode_sequences(rows, encoding, self.task.max_target, end_token(encoding.tokenizer))

    def settings(self) -> dict[str, Any]:
        """The task, and how sources are cut."""
        return {"task": self.task.name} | self.cut()


def _of_rows(
    cast: Callable[[Mapping[str, Any]], _Example], columns: tuple[str, ...]
) -> Callable[[pa.Table, str], tuple[list[_Example], np.ndarray]]:
    def examples(table: pa.Table, origin: str) -> tuple[list[_Example], np.ndarray]:
        rows = require_columns(table, columns, origin).to_pylist()
        return [cast(row) for row in rows], read_ids(table, origin)

    return examples


def _classed(source: str, words: tuple[str, str], row: Mapping[str, Any]) -> _Example:
    label = row.get("label")
    if label is None or label == UNLABELLED:
        return _Example(source, (), np.nan)
    return _Example(source, (words[int(label)],), float(label))


def _copa(row: Mapping[str, Any]) -> _Example:
    parts = (f"{name}: {row[name]}" for name in (*_CHOICES, "premise", "question"))
    return _classed(" ".join(["copa", *parts]), _CHOICES, row)


def _wic(row: Mapping[str, Any]) -> _Example:
    parts = (f"{name}: {row[name]}" for name in ("sentence1", "sentence2", "word"))
    return _classed(" ".join(["wic", *parts]), _TRUTH, row)


def _wsc(table: pa.Table, origin: str) -> tuple[list[_Example], np.ndarray]:
    found = []
    for row in with_spans(table, origin).to_pylist():
        words, place = row["text"].split(), row["span2_index"]
        pronoun = " ".join(words[place : place + len(row["span2_text"].split())])
        words[place : place + len(row["span2_text"].split())] = [f"*{pronoun}*"]
        label = row.get("label")
        known = label is not None and label != UNLABELLED
        found.append(_Example(f"wsc: {' '.join(words)}", (row["span1_text"],), float(label) if known else np.nan))
    return found, read_ids(table, origin)


def _record(table: pa.Table, origin: str) -> tuple[list[_Example], np.ndarray]:
    rows = option_rows.record(table, origin)
    return list(_queries(rows)), rows.ids


def _queries(rows: option_rows.OptionRows) -> Iterator[_Example]:
    kept = zip(rows.contexts, rows.queries, rows.names, rows.golds, strict=True)
    for context, query, names, golds in kept:
        label = 1.0 if golds else np.nan
        yield _Example(f"record query: {query} entities: {', '.join(names)} passage: {context}", tuple(golds), label)


def _classes(name: str, file: str, words: tuple[str, str]) -> TextToText:
    return TextToText(name, words, test=(("test", file),), max_target=16, metrics=(accuracy,))


_CASTS = {
    "copa": _Cast(
        superglue("copa", "COPA"),
        _classes("copa", "COPA", _CHOICES),
        _of_rows(_copa, (*_CHOICES, "premise", "question")),
    ),
    "wic": _Cast(
        superglue("wic", "WiC"),
        _classes("wic", "WiC", _TRUTH),
        _of_rows(_wic, ("sentence1", "sentence2", "word")),
    ),
    "wsc": _Cast(WSC_PLACE, WrittenNoun("wsc", test=(("test", "WSC"),), max_target=16), _wsc),
    "record": _Cast(superglue("record", "ReCoRD"), WrittenAnswer("record", test=(("test", "ReCoRD"),)), _record),
}

"""LightningDataModules with a text in and a text out: summaries, any pair of columns, GLUE as T5 casts it."""

from typing import Any

import numpy as np
import pyarrow as pa
from lightning.pytorch.utilities import rank_zero_warn

from lm_lab.data.encoding.encoding import Encoding
from lm_lab.data.encoding.sequences import EncodedSequences, SequenceRows, encode_sequences, source_rows
from lm_lab.data.limits import at_least, finite
from lm_lab.data.modules.base import TaskData
from lm_lab.data.reading.checks import labelled_rows
from lm_lab.data.reading.lines import Lines
from lm_lab.data.reading.sources import Place, read_split, read_table
from lm_lab.errors import UsageError
from lm_lab.tasks import glue_task
from lm_lab.tasks.names import file_name
from lm_lab.tasks.sequences import SequenceTask, TextToText, cast, written
from lm_lab.tokens import end_token

_COLUMNS = {"xsum": {"source": "document", "target": "summary"}}
_FORM = ("source", "target")
_HUB = {"xsum": "EdinburghNLP/xsum"}


class Sequences(TaskData):
    """Texts to be written after others: `xsum`, or a folder or file of one's own with the columns source and target.

    Args:
        task: xsum, or a name of one's own.
        prompt: a text before every source, such as "summarize: " for a T5.
        max_length: longest source in tokens.
        max_target: longest target in tokens.
        beams: hypotheses of beam search in evaluation; 1 is greedy.
        length_penalty: exponent of the length that a hypothesis' log-probability is divided by.
        eval_batch_size: sources that are answered at a time.
        settings: those of `TaskData`.

    Raises:
        UsageError: a split that is not there, a missing column, a null, no row with two texts. Rows of which one is
            empty are left out, with a warning that counts them.
    """

    task: SequenceTask

    def __init__(
        self,
        task: str = "xsum",
        prompt: str = "",
        max_length: int = 512,
        max_target: int = 64,
        beams: int = 1,
        length_penalty: float = 1.0,
        eval_batch_size: int = 32,
        **settings: Any,
    ) -> None:
        at_least(1, max_target=max_target, beams=beams)
        finite(length_penalty=length_penalty)
        self.place = Place(task, (task,), _HUB.get(task, task), splits=settings.get("splits") or {})
        form = SequenceTask(file_name(task), beams=beams, max_target=max_target, length_penalty=length_penalty)
        super().__init__(form, max_length=max_length, eval_batch_size=eval_batch_size, **settings)
        self.prompt = prompt
        self.predict_splits = self.predict_splits or self.validation_splits

    def read(self, split: str, labelled: bool) -> SequenceRows:  # noqa: ARG002  every target is a label
        """The checked rows of a split."""
        columns = self.columns or (_COLUMNS.get(self.place.name) if self.source != "microworld" else None)
        table, origin = read_table(self.place, split, self.source, columns, _FORM, self.encoding)
        sources, targets = (_texts(table, column, origin) for column in _FORM)
        kept = _written(sources, targets, origin)
        given = [self.prompt + sources[row] for row in kept]
        return SequenceRows(given, [targets[row] for row in kept], np.zeros(len(kept)), np.array(kept), origin)

    @property
    def given_columns(self) -> tuple[str, ...]:
        """A source."""
        return ("source",)

    def given_rows(self, given: Lines) -> SequenceRows:
        """A source a row."""
        return source_rows([self.prompt + text for text in given.column(0)], given)

    def encode_rows(self, rows: SequenceRows, encoding: Encoding, train: bool) -> EncodedSequences:  # noqa: ARG002
        """Sources and targets as tokens."""
        return encode_sequences(rows, encoding, self.task.max_target, end_token(encoding.tokenizer))

    def settings(self) -> dict[str, Any]:
        """How sources are read and targets written."""
        kept = {name: getattr(self.task, name) for name in ("max_target", "beams", "length_penalty")}
        return {"task": self.place.name, "prompt": self.prompt} | self.cut() | kept


class TextToTextGLUE(TaskData):
    """A GLUE task with its label as the text to be written (Raffel et al. 2020).

    Args:
        task: a row's name, such as `rte`.
        scored: choose the likeliest of the class words, in place of writing freely.
        settings: those of `TaskData`.
    """

    task: TextToText

    def __init__(self, task: str, scored: bool = False, **settings: Any) -> None:
        self.texts, self.scored = glue_task(task), scored
        super().__init__(TextToText.of(self.texts, scored, max_target=16), **settings)

    def read(self, split: str, labelled: bool) -> SequenceRows:
        """The checked rows of a split."""
        rows = read_split(self.texts, split, self.source, self.columns, self.encoding, splits=self.splits)
        rows = labelled_rows(self.texts, rows, split) if labelled else rows
        sources = [cast(self.texts, texts) for texts in zip(*rows.texts, strict=True)]
        known = rows.labelled
        targets = [written(self.texts, label) if known[i] else "" for i, label in enumerate(rows.labels.tolist())]
        return SequenceRows(sources, targets, rows.labels, rows.ids, rows.origin)

    @property
    def given_columns(self) -> tuple[str, ...]:
        """A text, or two."""
        return self.texts.columns

    def given_rows(self, given: Lines) -> SequenceRows:
        """A text a row, or two, as T5 casts them."""
        return source_rows([cast(self.texts, texts) for texts in given.texts], given)

    def encode_rows(self, rows: SequenceRows, encoding: Encoding, train: bool) -> EncodedSequences:  # noqa: ARG002
        """Sources and targets as tokens."""
        return encode_sequences(rows, encoding, self.task.max_target, end_token(encoding.tokenizer))

    def settings(self) -> dict[str, Any]:
        """The task, and how its labels are found."""
        return {"task": self.task.name, "scored": self.scored} | self.cut()


def _texts(table: pa.Table, name: str, origin: str) -> list[str]:
    if name not in table.column_names:
        raise UsageError(
            f"{origin} has no column '{name}'; it has {', '.join(table.column_names)}. Name the ones to take: "
            "--data.columns '{source: ..., target: ...}'."
        )
    texts = table[name].to_pylist()
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise UsageError(f"{origin}, row {row}, column '{name}': expected text, found {text!r}.")
    return texts


def _written(sources: list[str], targets: list[str], origin: str) -> list[int]:
    """The rows with something to read and something to write; XSum has articles without a word."""
    kept = [row for row, pair in enumerate(zip(sources, targets, strict=True)) if all(text.strip() for text in pair)]
    if not kept:
        raise UsageError(f"{origin} has no row with a source and a target; expected two texts a row.")
    if blank := len(sources) - len(kept):
        rank_zero_warn(f"{origin}: {blank} of {len(sources)} rows have an empty source or target: left out")
    return kept

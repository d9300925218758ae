"""SQuAD and its kin as a LightningDataModule: a question and a context in, a span of the context out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lm_lab.data.encoding.encoding import Encoding
from lm_lab.data.encoding.spans import EncodedSpans, encode_spans
from lm_lab.data.limits import at_least
from lm_lab.data.modules.base import TaskData
from lm_lab.data.reading.lines import Lines
from lm_lab.data.reading.questions import (
    QuestionRows,
    by_article,
    check_questions,
    has_articles,
    question_rows,
    read_squad_json,
)
from lm_lab.data.reading.sources import Place, read_table
from lm_lab.errors import UsageError
from lm_lab.tasks.answers import Version
from lm_lab.tasks.names import require_split
from lm_lab.tasks.spans import SpanTask

_HUB = {1: "rajpurkar/squad", 2: "rajpurkar/squad_v2"}
_FOLDER = {1: "squad", 2: "squad_v2"}


class SQuAD(TaskData):
    """SQuAD 1.1 or 2.0, or a folder in their schema or in SQuAD's own JSON layout (`train-v1.1.json`).

    Args:
        version: 2 for questions that may have no answer.
        domains: other splits to evaluate, which are never trained on: paths below the data source, such as
            `squadshifts/nyt`.
        validation_articles: take train and validation from the split `validation`, this share of its articles for
            validation: for data without a training split.
        max_length: longest window in tokens.
        overlap: tokens that neighbouring windows of a context share.
        max_question: longest question in tokens; what is longer is cut and counted.
        max_answer: longest answer in tokens.
        eval_batch_size: questions a batch of evaluation, each with all of its windows.
        settings: those of `TaskData`.

    Raises:
        UsageError: a split that is not there, a bad row, windows with no room.
    """

    truncates = False
    task: SpanTask

    def __init__(
        self,
        version: Version = 1,
        domains: Sequence[str] = (),
        validation_articles: float = 0.0,
        max_length: int = 384,
        overlap: int = 128,
        max_question: int = 64,
        max_answer: int = 30,
        eval_batch_size: int = 32,
        **settings: Any,
    ) -> None:
        at_least(0, overlap=overlap)
        at_least(1, max_question=max_question, max_answer=max_answer)
        if not 0 <= validation_articles < 1:
            raise UsageError(f"validation_articles={validation_articles}: expected a share from 0 to below 1.")
        for split in domains:
            require_split(split)
        task = SpanTask(_FOLDER[version], version=version, max_answer=max_answer)
        super().__init__(task, max_length=max_length, eval_batch_size=eval_batch_size, **settings)
        self.version, self.overlap, self.max_question = version, overlap, max_question
        self.validation_articles = validation_articles
        self.domains = tuple(domains)
        self.predict_splits = self.predict_splits or (*self.validation_splits, *domains)

    def read(self, split: str, labelled: bool) -> QuestionRows:
        """The checked rows of a split; every question has answers in version 1."""
        if self.validation_articles and split in ("train", "validation"):
            rows = self._table("validation", labelled)
            return rows.take(by_article(rows, self.validation_articles)[split == "validation"])
        return self._table(split, labelled)

    @property
    def given_columns(self) -> tuple[str, ...]:
        """A question and its context."""
        return ("question", "context")

    def given_rows(self, given: Lines) -> QuestionRows:
        """A question and its context a row."""
        return question_rows(given)

    def encode_rows(self, rows: QuestionRows, encoding: Encoding, train: bool) -> EncodedSpans:
        """Windows to train on, or questions to evaluate."""
        encoded = encode_spans(rows, encoding, self.max_question, self.overlap, train)
        if train and not encoded.answered:
            raise UsageError(
                f"{rows.origin}: no window shows an answer, so there is nothing to train on; answer_start counts "
                "characters from 0, not bytes nor UTF-16 units."
            )
        return encoded

    def settings(self) -> dict[str, Any]:
        """The version, and how windows are cut."""
        kept = ("version", "max_length", "overlap", "max_question")
        return {name: getattr(self, name) for name in kept} | {"max_answer": self.task.max_answer}

    def _table(self, split: str, labelled: bool) -> QuestionRows:
        if path := self._own_layout(split):
            table, origin = read_squad_json(path, self.encoding), str(path)
        else:
            folder, _, name = split.rpartition("/")
            place = Place(
                "squad", (folder,) if folder else (_FOLDER[self.version],), _HUB[self.version], splits=self.splits
            )
            table, origin = read_table(place, name, self.source, self.columns, encoding=self.encoding)
        return check_questions(table, origin, all_answered=labelled and self.version == 1)

    def _own_layout(self, split: str) -> Path | None:
        split = self.splits.get(split, split)
        name = {"train": "train", "validation": "dev"}.get(split, split)
        root = Path(self.source or "")
        suffixes = {1: ("-v1.1.json", ".json"), 2: ("-v2.0.json", ".json")}[self.version]
        found = (root / f"{name}{suffix}" for suffix in suffixes)
        path = next((path for path in found if self.source and path.is_file()), None)
        return path if path and (path.name != f"{name}.json" or has_articles(path, self.encoding)) else None

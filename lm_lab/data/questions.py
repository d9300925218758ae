"""Questions on a context with answers that are spans of it, in SQuAD's schema on the hub or its own JSON layout."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lm_lab.data.lines import Lines
from lm_lab.errors import UsageError

_TEXTS = ("id", "context", "question")


@dataclass(frozen=True)
class QuestionRows:
    """One split.

    Attributes:
        table: columns id, title, context, question, answers (struct of the lists text and answer_start).
        ids: (n,) int64, unique; the dataset's own ids are strings.
        origin: the file or source, for messages.
    """

    table: pa.Table
    ids: np.ndarray
    origin: str

    def __len__(self) -> int:
        return self.table.num_rows

    def take(self, index: np.ndarray) -> "QuestionRows":
        """The rows at `index`, in that order."""
        return QuestionRows(self.table.take(pa.array(index)), self.ids[index], self.origin)

    def content(self) -> Iterator[bytes]:
        """Texts and answers, for a fingerprint."""
        for name in _TEXTS:
            yield "\0".join(self.table[name].to_pylist()).encode()
        yield json.dumps(self.table["answers"].to_pylist()).encode()

    @property
    def answer_counts(self) -> np.ndarray:
        """(n,) gold answers of each question."""
        lengths = pc.list_value_length(pc.struct_field(self.table["answers"], "text"))
        return np.asarray(lengths.to_numpy())

    def example(self, row: int) -> dict[str, Any]:
        """`key`, `context` and all gold `answers` of one question."""
        found = self.table.slice(row, 1).to_pylist()[0]
        return {"key": found["id"], "context": found["context"], "answers": found["answers"]["text"]}


def check_questions(table: pa.Table, origin: str, all_answered: bool) -> QuestionRows:
    """Turn a table into rows.

    Raises:
        UsageError: an empty split, a missing column, no text, an id that repeats, answers that are no two lists of the
            same length, or no answer where every question must have one.
    """
    if table.num_rows == 0:
        raise UsageError(f"{origin} is empty; expected rows with id, context, question and answers.")
    for name in (*_TEXTS, "answers"):
        if name not in table.column_names:
            raise UsageError(f"{origin} has no column '{name}'; it has {', '.join(table.column_names)}.")
    for name in _TEXTS:
        _require_text(table[name], name, origin)
    ids = table["id"].to_pylist()
    if len(set(ids)) < len(ids):
        again = next(key for row, key in enumerate(ids) if key in set(ids[:row]))
        raise UsageError(f"{origin}, column 'id': '{again}' appears twice.")
    _require_answers(table["answers"], origin, all_answered)
    return QuestionRows(table, np.arange(table.num_rows), origin)


def question_rows(lines: Lines) -> QuestionRows:
    """Lines of a question and its context as rows whose answers are not known."""
    rows = [
        {"id": str(number), "question": question, "context": context, "answers": {"text": [], "answer_start": []}}
        for number, (question, context) in zip(lines.ids.tolist(), lines.texts, strict=True)
    ]
    return QuestionRows(pa.Table.from_pylist(rows), lines.ids, lines.origin)


def by_article(rows: QuestionRows, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of two parts that share no article: the rest, and every so many articles that `share` takes.

    Raises:
        UsageError: no column 'title', or a share that leaves one part empty.
    """
    if "title" not in rows.table.column_names:
        raise UsageError(f"{rows.origin} has no column 'title', so it cannot be divided by article.")
    titles = np.array(rows.table["title"].to_pylist())
    articles = np.random.default_rng(0).permutation(np.unique(titles))
    taken = np.isin(titles, articles[: round(share * len(articles))])
    if not 0 < taken.sum() < len(rows):
        raise UsageError(f"by_article={share} leaves one part of {rows.origin} empty: it has {len(articles)} articles.")
    return np.flatnonzero(~taken), np.flatnonzero(taken)


def read_squad_json(path: Path) -> pa.Table:
    """SQuAD's own layout, data -> paragraphs -> qas, as a table. Raises `UsageError` if the file has another one."""
    try:
        articles = json.loads(path.read_text(encoding="utf-8"))["data"]
        rows = [
            {"id": asked["id"], "title": article.get("title", ""), "context": paragraph["context"]}
            | {"question": asked["question"], "answers": _listed(asked.get("answers", []))}
            for article in articles
            for paragraph in article["paragraphs"]
            for asked in paragraph["qas"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is not in SQuAD's layout (data, paragraphs, qas): {error!r}.") from error
    return pa.Table.from_pylist(rows)


def _listed(answers: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [answer[name] for answer in answers] for name in ("text", "answer_start")}


def _require_text(column: pa.ChunkedArray, name: str, origin: str) -> None:
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise UsageError(f"{origin}, column '{name}': expected text, found {column.type}.")
    empty = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(column), ""), True)
    if pc.any(empty).as_py():
        raise UsageError(f"{origin}, row {pc.index(empty, True).as_py()}, column '{name}': no text.")


def _require_answers(column: pa.ChunkedArray, origin: str, all_answered: bool) -> None:
    for row, answers in enumerate(column.to_pylist()):
        texts, starts = (answers or {}).get("text"), (answers or {}).get("answer_start")
        if texts is None or starts is None or len(texts) != len(starts):
            raise UsageError(
                f"{origin}, row {row}, column 'answers': expected the lists 'text' and 'answer_start' of one length, "
                f"found {answers!r}."
            )
        if all_answered and not texts:
            raise UsageError(f"{origin}, row {row}, column 'answers': no answer; version 2 of the task allows that.")

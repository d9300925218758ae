"""Questions on a context with answers that are spans of it, in SQuAD's schema on the hub or its own JSON layout."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lm_lab.data.reading.column_names import require_columns
from lm_lab.data.reading.files import json_table, objects
from lm_lab.data.reading.labels import column_words
from lm_lab.data.reading.lines import Lines
from lm_lab.data.reading.texts import UTF_8, read_text
from lm_lab.errors import UsageError

_TEXTS = ("id", "context", "question")
_ANSWERS = pa.struct([("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int64()))])


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
    require_columns(table, (*_TEXTS, "answers"), origin)
    table = _set(table, "id", pa.array(column_words(table, "id", origin), pa.string()))
    for name in _TEXTS:
        _require_text(table[name], name, origin)
    keys = Counter(table["id"].to_pylist())
    if len(keys) < table.num_rows:
        raise UsageError(f"{origin}, column 'id': '{keys.most_common(1)[0][0]}' appears twice.")
    found = [_answers(value, f"{origin}, row {row}") for row, value in enumerate(table["answers"].to_pylist())]
    table = _set(table, "answers", pa.array(found, _ANSWERS))
    if all_answered and (row := next((row for row, each in enumerate(found) if not each["text"]), None)) is not None:
        raise UsageError(f"{origin}, row {row}, column 'answers': no answer; version 2 of the task allows that.")
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
    titles = np.array([str(title) for title in rows.table["title"].to_pylist()])
    articles = np.random.default_rng(0).permutation(np.unique(titles))
    taken = np.isin(titles, articles[: round(share * len(articles))])
    if not 0 < taken.sum() < len(rows):
        raise UsageError(f"by_article={share} leaves one part of {rows.origin} empty: it has {len(articles)} articles.")
    return np.flatnonzero(~taken), np.flatnonzero(taken)


def has_articles(path: Path, encoding: str = UTF_8) -> bool:
    """Whether a json file is in SQuAD's own layout, and not one of rows."""
    rows = objects(read_text(path, encoding), path)
    return len(rows) == 1 and "data" in rows[0]


def read_squad_json(path: Path, encoding: str = UTF_8) -> pa.Table:
    """SQuAD's own layout, data -> paragraphs -> qas, as a table. Raises `UsageError` if the file has another one."""
    try:
        articles = json.loads(read_text(path, encoding))["data"]
        rows = [
            {"id": asked["id"], "title": article.get("title", ""), "context": paragraph["context"]}
            | {"question": asked["question"], "answers": _listed(asked.get("answers", []))}
            for article in articles
            for paragraph in article["paragraphs"]
            for asked in paragraph["qas"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path} is not in SQuAD's layout (data, paragraphs, qas): {error!r}.") from error
    return json_table(rows)


def _listed(answers: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [answer[name] for answer in answers] for name in ("text", "answer_start")}


def _require_text(column: pa.ChunkedArray, name: str, origin: str) -> None:
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise UsageError(f"{origin}, column '{name}': expected text, found {column.type}.")
    empty = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(column), ""), True)
    if pc.any(empty).as_py():
        raise UsageError(f"{origin}, row {pc.index(empty, True).as_py()}, column '{name}': no text.")


def _answers(value: Any, where: str) -> dict[str, list[Any]]:
    """Gold answers as two lists; they may come as a list of answers, as in SQuAD's own layout."""
    try:
        answers = _listed(value) if isinstance(value, list) else value
        texts, starts = list(answers["text"]), [int(start) for start in answers["answer_start"]]
        if len(texts) == len(starts) and all(isinstance(text, str) for text in texts):
            return {"text": texts, "answer_start": starts}
    except (TypeError, ValueError, KeyError):
        pass
    raise UsageError(
        f"{where}, column 'answers': expected the lists 'text' and 'answer_start' of one length, found {value!r:.120}."
    )


def _set(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)

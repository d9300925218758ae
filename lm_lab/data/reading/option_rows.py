"""Questions of which several options may be right: MultiRC and ReCoRD, in the hub's schema or SuperGLUE's own files."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from lm_lab.data.reading.choice_rows import ChoiceRows
from lm_lab.data.reading.column_names import require_columns
from lm_lab.data.reading.labels import UNLABELLED
from lm_lab.errors import UsageError

GAP = "@placeholder"
_HIGHLIGHT = re.compile(r"([.!?\"'])?\s*@highlight\s*")  # before each point of a summary


@dataclass(frozen=True)
class OptionRows(ChoiceRows):
    """One split of n questions; `labels` say how many options are right, -1 where it is not known.

    Attributes:
        names: (n,) what the options are called where that is another text than what is read, else the same.
        right: (n,) whether each option is right; all False where it is not known.
        golds: (n,) right answers.
        queries: (n,) texts with a gap that the options fill, empty where there is none.
        keys: (n,) what the data call each question.
    """

    _: KW_ONLY
    names: list[list[str]]
    right: list[list[bool]]
    golds: list[list[str]]
    queries: list[str]
    keys: list[Any]

    def content(self) -> Iterator[bytes]:
        """Texts, answers and ids, for a fingerprint."""
        yield json.dumps([self.contexts, self.options, self.right, self.golds]).encode()
        yield self.labels.tobytes() + self.ids.tobytes()

    def beside(self, index: Sequence[int]) -> dict[str, Any]:
        """What a batch of these questions has: `right` (sum of their options,), `candidates`, `golds`, `keys`."""
        right = torch.tensor([float(each) for i in index for each in self.right[i]])
        named = {"candidates": self.names, "golds": self.golds, "keys": self.keys}
        return {"right": right} | {name: [values[i] for i in index] for name, values in named.items()}


def option_rows(questions: Sequence[Mapping[str, Any]], origin: str) -> OptionRows:
    """Questions with `context`, `options` and `key`; `right`, None where it is not known; `golds`, `names`.

    Raises:
        UsageError: no questions, a text that is none, no options.
    """
    if not questions:
        raise UsageError(f"{origin} has no questions.")
    for row, asked in enumerate(questions):
        texts = [asked["context"], *asked["options"]]
        if not asked["options"] or not all(isinstance(text, str) and text.strip() for text in texts):
            raise UsageError(f"{origin}, question {row}: expected a passage, a question and options, each with a text.")
    known = [asked["right"] is not None for asked in questions]
    right = [[bool(each) for each in asked["right"] or [False] * len(asked["options"])] for asked in questions]
    return OptionRows(
        [asked["context"] for asked in questions],
        [list(asked["options"]) for asked in questions],
        np.array([sum(own) if there else UNLABELLED for own, there in zip(right, known, strict=True)]),
        np.arange(len(questions)),
        origin,
        names=[list(asked.get("names", asked["options"])) for asked in questions],
        right=right,
        golds=[list(asked.get("golds", ())) for asked in questions],
        queries=[asked.get("query", "") for asked in questions],
        keys=[asked["key"] for asked in questions],
    )


def multirc(table: pa.Table, origin: str) -> OptionRows:
    """A row an answer with `passage`, `question`, `answer`, `label`, `idx` (the hub), or a row a passage."""
    rows = require_columns(table, ("passage", "idx"), origin).to_pylist()
    answers = [each for row in rows for each in (_nested(row) if isinstance(row["passage"], dict) else [row])]
    found: dict[tuple[int, int], dict[str, Any]] = {}
    for row, one in enumerate(answers):
        try:
            passage, question, number = (one["idx"][name] for name in ("paragraph", "question", "answer"))
            key, context = (passage, question), f"{one['passage'].strip()} {one['question'].strip()}"
            asked = found.setdefault(key, {"context": context, "options": [], "right": [], "numbers": []})
            asked["options"].append(one["answer"])
            asked["right"].append(one.get("label", UNLABELLED))
            asked["numbers"].append(number)
        except (KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"{origin}, answer {row}: expected passage, question, answer and idx of paragraph, question and answer "
                f"({error!r:.60})."
            ) from error
    for (passage, question), asked in found.items():
        known = all(label in (0, 1) and label is not None for label in asked["right"])
        asked |= {"key": [passage, question, asked["numbers"]], "right": asked["right"] if known else None}
    return option_rows(list(found.values()), origin)


def record(table: pa.Table, origin: str) -> OptionRows:
    """A row a query with `passage`, `query`, `entities`, `answers`, `idx` (the hub), or a row a passage with `qas`."""
    rows = require_columns(table, ("passage",), origin).to_pylist()
    queries = [each for row in rows for each in (_asked(row) if isinstance(row["passage"], dict) else [row])]
    found = []
    for row, one in enumerate(queries):
        where = f"{origin}, query {row}"
        try:
            names = list(dict.fromkeys(one["entities"]))
            golds = list(dict.fromkeys(one.get("answers") or ()))
            number = one["idx"]["query"] if isinstance(one.get("idx"), dict) else row
            found.append(cloze(one["passage"], one["query"], names, golds, number))
        except (KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{where}: expected passage, query, entities and answers ({error!r:.60}).") from error
        if GAP not in one["query"]:
            raise UsageError(f"{where}: the query has no gap, {GAP}.")
    return option_rows(found, origin)


def cloze(passage: str, query: str, names: Sequence[str], golds: Sequence[str], key: int) -> dict[str, Any]:
    """A question of `option_rows`: the query with each name in its gap; the points of the summary become sentences."""
    context = _HIGHLIGHT.sub(lambda found: f"{found[1] or '.'} ", passage)
    asked = {
        "context": context,
        "options": [query.replace(GAP, name) for name in names],
        "names": names,
        "query": query,
    }
    return asked | {"golds": golds, "right": [name in golds for name in names] if golds else None, "key": key}


def _nested(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """MultiRC's own layout: a passage with questions with answers."""
    passage = row["passage"]
    for asked in passage.get("questions") or ():
        for answer in asked.get("answers") or ():
            idx = {"paragraph": row["idx"], "question": asked.get("idx"), "answer": answer.get("idx")}
            label = UNLABELLED if answer.get("label") is None else answer["label"]
            yield {
                "passage": passage.get("text"), "question": asked.get("question"), "answer": answer.get("text"),
                "label": label, "idx": idx,
            }  # fmt: skip


def _asked(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """ReCoRD's own layout: a passage whose entities are places, the last character included, and its queries."""
    text = row["passage"]["text"]
    names = [text[entity["start"] : entity["end"] + 1] for entity in row["passage"]["entities"]]
    for asked in row.get("qas") or ():
        golds = [answer["text"] for answer in asked.get("answers") or ()]
        yield {
            "passage": text, "query": asked["query"], "entities": names, "answers": golds,
            "idx": {"query": asked["idx"]},
        }  # fmt: skip

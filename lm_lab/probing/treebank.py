"""Questions about the words of a treebank: parts of speech, labels of dependencies, heads.

    pos          h_i                             the part of speech of word i
    relations    [h_i, h_j, h_i * h_j]           how word i depends on its head j
    heads        [h_i, h_j, h_i * h_j]           is j the head of i? its head, or another word of the sentence

The last two are the arc tasks of Liu et al. 2019 (Linguistic Knowledge and Transferability of Contextual
Representations, https://arxiv.org/abs/1903.08855).
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq

from lm_lab.data.reading.column_names import require_columns
from lm_lab.errors import UsageError

_COLUMNS = ("tokens", "upos", "heads", "deprels")


class Example(NamedTuple):
    """A word of a sentence, another one or none, and the answer."""

    sentence: int
    word: int
    other: int | None
    label: str


@dataclass(frozen=True)
class Treebank:
    """Sentences and the examples of a task in them, in order."""

    sentences: list[list[str]]
    examples: list[Example]


class _Sentence(NamedTuple):
    tokens: list[str]
    upos: list[str]
    heads: list[int]
    deprels: list[str]


def _pos(row: _Sentence, draw: np.random.Generator) -> Iterator[tuple[int, int | None, str]]:  # noqa: ARG001
    yield from ((place, None, tag) for place, tag in enumerate(row.upos))


def _relations(row: _Sentence, draw: np.random.Generator) -> Iterator[tuple[int, int | None, str]]:  # noqa: ARG001
    for place, (head, label) in enumerate(zip(row.heads, row.deprels, strict=True)):
        if head > 0:  # the root has none
            yield place, head - 1, label.split(":")[0]


def _heads(row: _Sentence, draw: np.random.Generator) -> Iterator[tuple[int, int | None, str]]:
    for place, head in enumerate(row.heads):
        others = [word for word in range(len(row.tokens)) if word not in (place, head - 1)]
        if head > 0 and others:
            yield place, head - 1, "head"
            yield place, int(draw.choice(others)), "other"


TASKS: dict[str, Callable[[_Sentence, np.random.Generator], Iterator[tuple[int, int | None, str]]]] = {
    "pos": _pos,
    "relations": _relations,
    "heads": _heads,
}


def read(task: str, split: str, source: str | None = None, limit: int | None = None, seed: int = 0) -> Treebank:
    """The examples of a task in a split of a treebank.

    Args:
        task: one of `TASKS`.
        split: train, validation or test.
        source: a folder with `ud_ewt/SPLIT.parquet`, or with the splits themselves; None: `LM_LAB_DATA`. Columns are
            tokens, upos, heads (1 is the first word, 0 the root's) and deprels.
        limit: of examples; sentences are drawn until they suffice.
        seed: of what is drawn.

    Raises:
        UsageError: no such data, or a column or a row that does not fit.
    """
    rows, origin = _rows(split, source)
    draw = np.random.default_rng(seed)
    sentences: list[list[str]] = []
    examples: list[Example] = []
    for place in draw.permutation(len(rows)).tolist():
        if limit is not None and len(examples) >= limit:
            break
        row = rows[place]
        if len({len(column) for column in row}) != 1 or any(not 0 <= head <= len(row.tokens) for head in row.heads):
            raise UsageError(f"{origin}, row {place}: its columns do not have an entry a word, or a head is no word.")
        examples += [Example(len(sentences), *found) for found in TASKS[task](row, draw)]
        sentences.append(row.tokens)
    return Treebank(sentences, examples[:limit])


def _rows(split: str, source: str | None) -> tuple[list[_Sentence], str]:
    source = source or os.environ.get("LM_LAB_DATA")
    if source is None:
        raise UsageError("no treebank: set LM_LAB_DATA, or --source, to a folder with ud_ewt/train.parquet.")
    tried = [Path(source) / "ud_ewt" / f"{split}.parquet", Path(source) / f"{split}.parquet"]
    path = next((file for file in tried if file.is_file()), None)
    if path is None:
        raise UsageError(f"'{source}' holds no treebank; expected ud_ewt/{split}.parquet, or {split}.parquet.")
    table = require_columns(pq.read_table(path), _COLUMNS, str(path))
    columns = [table[name].to_pylist() for name in _COLUMNS]
    return [_Sentence(*row) for row in zip(*columns, strict=True)], str(path)

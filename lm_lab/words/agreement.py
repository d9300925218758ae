"""How well word vectors agree with people: similarity of pairs of words, and analogies."""

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lm_lab.errors import UsageError
from lm_lab.metrics import spearman
from lm_lab.metrics.resamples import bootstrap
from lm_lab.metrics.shares import wilson
from lm_lab.words.vectors import WordVectors


@dataclass(frozen=True)
class Agreement:
    """Of one set: Spearman's rho or a share, a 95% interval, how many of how many had vectors."""

    name: str
    score: float
    low: float
    high: float
    used: int
    of: int


def similarities(vectors: WordVectors, source: str | None = None) -> list[Agreement]:
    """Spearman's rank correlation of cosines with people's scores, for each set; pairs without vectors are left out.

    The interval is of 1,000 resamples of the pairs. Raises `UsageError` where there is no data.
    """
    pairs: dict[str, list[tuple[str, str, float]]] = defaultdict(list)
    for row in _rows("word_similarity", source, ("set", "word1", "word2", "score")):
        pairs[row["set"]].append((row["word1"], row["word2"], float(row["score"])))
    return [_similarity(vectors, name, listed) for name, listed in pairs.items()]


def analogies(vectors: WordVectors, source: str | None = None, limit: int | None = None) -> list[Agreement]:
    """The share of analogies whose fourth word is the best, for each section, then all; errors as of `similarities`.

    A question with a word that is not listed is left out. `limit`: the first so many of a section.
    """
    questions: dict[str, list[tuple[str, str, str, str]]] = defaultdict(list)
    for row in _rows("analogies", source, ("section", "a", "b", "c", "d")):
        questions[row["section"]].append((row["a"], row["b"], row["c"], row["d"]))
    right, total = dict[str, list[bool]](), dict[str, int]()
    for name, listed in questions.items():
        asked = [q for q in listed if vectors.listed(*q)][:limit]
        total[name] = len(listed)
        right[name] = [vectors.row(vectors.analogy(a, b, c)[0][0]) == vectors.row(d) for a, b, c, d in asked]
    found = [_share(name, values, total[name]) for name, values in right.items()]
    return [*found, _share("all", [value for values in right.values() for value in values], sum(total.values()))]


def _similarity(vectors: WordVectors, name: str, pairs: list[tuple[str, str, float]]) -> Agreement:
    known = [(vectors.cosine(a, b), score) for a, b, score in pairs if vectors.known(a, b)]
    if len(known) < 2:
        return Agreement(name, float("nan"), float("nan"), float("nan"), len(known), len(pairs))
    ours, theirs = np.array(known).T
    low, high = bootstrap(lambda places: spearman(ours[places], theirs[places]), len(known))
    return Agreement(name, spearman(ours, theirs), low, high, len(known), len(pairs))


def _share(name: str, right: list[bool], of: int) -> Agreement:
    if not right:
        return Agreement(name, float("nan"), float("nan"), float("nan"), 0, of)
    share = float(np.mean(right))
    return Agreement(name, share, *wilson(share, len(right)), len(right), of)


def _rows(name: str, source: str | None, columns: tuple[str, ...]) -> list[dict[str, str]]:
    source = source or os.environ.get("LM_LAB_DATA")
    if source is None:
        raise UsageError(f"no {name}: give --source FILE or set LM_LAB_DATA to a folder with {name}/test.parquet.")
    path = Path(source) if Path(source).is_file() else Path(source, name, "test.parquet")
    try:
        return pq.read_table(path, columns=list(columns)).to_pylist()
    except (OSError, pa.ArrowException) as error:
        first = str(error).splitlines()[0]
        raise UsageError(f"{path}: expected parquet with the columns {', '.join(columns)} ({first:.100}).") from error

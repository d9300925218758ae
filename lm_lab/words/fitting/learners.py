"""A model and a text as chunks of work, each a pass of compiled code over arrays that all threads share (Hogwild)."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from lm_lab.words.corpus import WordCorpus
from lm_lab.words.fitting.cooccurrence import glove, meetings
from lm_lab.words.fitting.tables import tables
from lm_lab.words.fitting.windows import cbow, n_gram, skip_gram
from lm_lab.words.models import CBOW, FastText, GloVe, Model, SkipGram
from lm_lab.words.ngrams import NGrams, buckets

Arrays = dict[str, np.ndarray]
_WORDS, _PAIRS = 10_000, 200_000  # of a chunk
_LOWEST = 1e-4  # share of the rate that is left at the end, as in word2vec.c


class Learner(ABC):
    """What `fit` goes through.

    Attributes:
        arrays: what is learned, by name: the whole state.
        bounds: (c + 1,) where chunks of the work of an epoch begin and end; their unit is words, or pairs.
        unit: of the work, in words.
    """

    arrays: Arrays
    bounds: np.ndarray
    unit: str = "words"

    @abstractmethod
    def learn(self, chunk: int, epoch: int, done: float) -> tuple[float, float]:
        """Go through a chunk when a share `done` of all work is behind; a loss, summed, and over how many."""

    @abstractmethod
    def vectors(self) -> np.ndarray:
        """(V, d) what has been learned."""

    def n_grams(self) -> NGrams | None:
        """Rows of n-grams, where there are any."""
        return None


class WindowLearner(Learner):
    """word2vec and fastText.

    Args:
        model: settings.
        corpus: text.
    """

    def __init__(self, model: SkipGram, corpus: WordCorpus) -> None:
        size = corpus.vocabulary(model.min_count)
        self.model, self.corpus = model, corpus
        self.tables = tables(corpus.counts[:size], model.subsample, model.noise, not model.negatives)
        draw, rows = np.random.default_rng(model.seed), size
        if isinstance(model, FastText):
            rows += model.buckets
            self.grams, self.grams_bounds = _rows_of(corpus.words[:size], model)
        inputs = (draw.random((rows, model.size), np.float32) * np.float32(2) - np.float32(1)) / np.float32(model.size)
        self.arrays = {"inputs": inputs, "outputs": np.zeros((size, model.size), np.float32)}
        self.lines = _line_bounds(corpus.ends)
        self.bounds = np.concatenate([[0], corpus.ends])[self.lines]

    def learn(self, chunk: int, epoch: int, done: float) -> tuple[float, float]:
        """See `Learner`."""
        start, end = self.bounds[chunk : chunk + 2]
        ends = np.asarray(self.corpus.ends[self.lines[chunk] : self.lines[chunk + 1]]) - start
        rate = np.float32(self.model.rate * max(_LOWEST, 1 - done))
        state = np.random.SeedSequence((self.model.seed, epoch, chunk)).generate_state(1, np.uint64)[0]
        found: tuple[float, float] = self._pass(np.asarray(self.corpus.ids[start:end]), ends, rate, state)
        return found

    def _pass(self, ids: np.ndarray, ends: np.ndarray, rate: np.float32, state: np.uint64) -> Any:
        both, how = (
            (self.arrays["inputs"], self.arrays["outputs"]),
            (self.model.window, self.model.negatives, rate, state),
        )
        if isinstance(self.model, FastText):
            return n_gram(ids, ends, self.tables, self.grams, self.grams_bounds, *both, *how)
        return (cbow if isinstance(self.model, CBOW) else skip_gram)(ids, ends, self.tables, *both, *how)

    def vectors(self) -> np.ndarray:
        """See `Learner`."""
        inputs, size = self.arrays["inputs"], len(self.tables.keep)
        if not isinstance(self.model, FastText):
            return inputs
        return np.stack(
            [inputs[self.grams[a:b]].mean(0) for a, b in zip(self.grams_bounds, self.grams_bounds[1:], strict=False)][
                :size
            ]
        )

    def n_grams(self) -> NGrams | None:
        """See `Learner`."""
        if not isinstance(self.model, FastText):
            return None
        return NGrams(self.arrays["inputs"][len(self.tables.keep) :], self.model.shortest, self.model.longest)


class GloVeLearner(Learner):
    """GloVe; its work is pairs that meet, in an order that is drawn once.

    Args:
        model: settings.
        corpus: text.
    """

    unit = "pairs"

    def __init__(self, model: GloVe, corpus: WordCorpus) -> None:
        size = corpus.vocabulary(model.min_count)
        keys, values = meetings(np.asarray(corpus.ids), np.asarray(corpus.ends), size, model.window)
        draw = np.random.default_rng(model.seed)
        order = draw.permutation(len(keys))
        self.model, self.keys, values = model, keys[order], values[order]
        self.logs = np.log(values)
        self.weights = np.minimum(1, (values / np.float32(model.x_max)) ** np.float32(model.power)).astype(np.float32)
        shape = (size, model.size + 1)
        self.arrays = {
            name: (draw.random(shape, np.float32) - np.float32(0.5)) / np.float32(model.size + 1)
            for name in ("inputs", "outputs")
        }
        self.arrays |= {f"{name}_sums": np.ones(shape, np.float32) for name in ("inputs", "outputs")}
        self.bounds = np.append(np.arange(0, len(keys), _PAIRS), len(keys))

    def learn(self, chunk: int, epoch: int, done: float) -> tuple[float, float]:  # noqa: ARG002
        """See `Learner`."""
        part = slice(*self.bounds[chunk : chunk + 2])
        rows = (self.keys[part], self.logs[part], self.weights[part])
        inputs, outputs, *sums = self.arrays.values()
        cost = glove(*rows, inputs, outputs, sums[0], sums[1], np.float32(self.model.rate))
        return float(cost), len(rows[0])

    def vectors(self) -> np.ndarray:
        """The sums of a word's vector as a word and as context."""
        both: np.ndarray = self.arrays["inputs"][:, :-1] + self.arrays["outputs"][:, :-1]
        return both


def learner(model: Model, corpus: WordCorpus) -> Learner:
    """A model at its beginning. Raises `UsageError` where the text leaves fewer than two words, or no two that meet."""
    if isinstance(model, GloVe):
        return GloVeLearner(model, corpus)
    assert isinstance(model, SkipGram)
    return WindowLearner(model, corpus)


def _rows_of(words: list[str], model: FastText) -> tuple[np.ndarray, np.ndarray]:
    """For each word its own row and those of its n-grams, which stand behind all words', and where these begin."""
    lengths = model.shortest, model.longest
    rows = [np.append(row, len(words) + buckets(word, *lengths, model.buckets)) for row, word in enumerate(words)]
    return np.concatenate(rows).astype(np.int64), np.cumsum([0, *map(len, rows)])


def _line_bounds(ends: np.ndarray) -> np.ndarray:
    """Numbers of lines between which chunks of at least so many words lie, the last one apart."""
    found, last = [0], 0
    while last < ends[-1]:
        found.append(min(len(ends), int(np.searchsorted(ends, last + _WORDS)) + 1))
        last = ends[found[-1] - 1]
    return np.array(found)

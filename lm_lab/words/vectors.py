"""A vector a word, and what can be asked of such a table."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lm_lab.errors import UsageError
from lm_lab.words.ngrams import NGrams

Matrix = NDArray[np.float32]


class WordVectors:
    """A table of words, the commonest first.

    Args:
        words: unique.
        matrix: their vectors (V, d).
        n_grams: rows of which any other word has a vector.

    Raises:
        UsageError: a word comes twice, or there is not a finite vector for each.
    """

    def __init__(self, words: Sequence[str], matrix: Matrix, n_grams: NGrams | None = None) -> None:
        if len(words) != len(matrix) or not len(words):
            raise UsageError(f"there are {len(words)} words and {len(matrix)} vectors; expected a vector for each.")
        if not np.isfinite(matrix).all():
            row = int(np.flatnonzero(~np.isfinite(matrix).all(1))[0])
            raise UsageError(f"the vector of {words[row]!r:.60} is not finite.")
        self.words, self.matrix, self.n_grams = list(words), np.ascontiguousarray(matrix, np.float32), n_grams
        self.index = {word: row for row, word in enumerate(self.words)}
        if len(self.index) < len(self.words):
            twice = next(word for row, word in enumerate(self.words) if self.index[word] != row)
            raise UsageError(f"the word {twice!r:.60} comes twice.")

    @cached_property
    def unit(self) -> Matrix:
        """The vectors at length 1, in which cosines are products; one of length 0 stays."""
        lengths = np.linalg.norm(self.matrix, axis=1, keepdims=True)
        lengths[lengths == 0] = 1
        unit: Matrix = np.divide(self.matrix, lengths, dtype=np.float32)
        return unit

    @cached_property
    def lowercase(self) -> bool:
        """Whether no word has a capital: texts are to be read in lower case."""
        return all(word == word.lower() for word in self.words)

    def row(self, word: str) -> int:
        """The row of a word, as it is or in lower case. Raises `UsageError` for one that has none."""
        if (found := self._row(word)) is None:
            raise UsageError(f"the word {word!r:.60} has no vector among the {len(self.words):,}.")
        return found

    def direction(self, word: str) -> Matrix:
        """(d,) a word's vector at length 1: its own, or of its n-grams. Raises `UsageError` for a word without one."""
        if self._row(word) is not None or (found := self._of_n_grams(word)) is None:
            return self.unit[self.row(word)]
        unit: Matrix = found / (float(np.linalg.norm(found)) or 1.0)
        return unit

    def listed(self, *words: str) -> bool:
        """Whether all have a row."""
        return all(self._row(word) is not None for word in words)

    def known(self, *words: str) -> bool:
        """Whether all have a vector, of their own or of n-grams."""
        return all(self._row(word) is not None or self._of_n_grams(word) is not None for word in words)

    def cosine(self, first: str, second: str) -> float:
        """Of the angle between two words' vectors. Raises `UsageError` for a word without one."""
        return float(self.direction(first) @ self.direction(second))

    def nearest(self, word: str, count: int = 10) -> list[tuple[str, float]]:
        """The words with the highest cosine to a word, itself left out; errors as of `direction`."""
        row = self._row(word)
        return self._best(self.direction(word), set() if row is None else {row}, count)

    def analogy(self, a: str, b: str, c: str, count: int = 1) -> list[tuple[str, float]]:
        """What is to c as b is to a: the highest cosine to b - a + c of unit vectors, the three left out.

        Mikolov et al. 2013 (https://arxiv.org/abs/1301.3781). Errors as of `direction`.
        """
        first, second, third = (self.direction(word) for word in (a, b, c))
        rows = {row for word in (a, b, c) if (row := self._row(word)) is not None}
        return self._best(second - first + third, rows, count)

    def _row(self, word: str) -> int | None:
        found = self.index.get(word)
        return self.index.get(word.lower()) if found is None else found

    def _of_n_grams(self, word: str) -> Matrix | None:
        return self.n_grams.vector(word.lower() if self.lowercase else word) if self.n_grams else None

    def _best(self, target: Matrix, left_out: set[int], count: int) -> list[tuple[str, float]]:
        length = float(np.linalg.norm(target)) or 1.0
        scores = self.unit @ (target / length)
        scores[list(left_out)] = -np.inf
        count = min(count, len(scores) - len(left_out))
        rows = np.argpartition(-scores, max(0, count - 1))[:count]
        ordered = rows[np.lexsort((rows, -scores[rows]))]
        return [(self.words[row], float(scores[row])) for row in ordered]

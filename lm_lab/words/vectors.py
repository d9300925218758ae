"""A vector a word, and what can be asked of such a table."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lm_lab.errors import UsageError

Matrix = NDArray[np.float32]


class WordVectors:
    """A table of words, the commonest first.

    Args:
        words: unique.
        matrix: their vectors (V, d).

    Raises:
        UsageError: a word comes twice, or there is not a finite vector for each.
    """

    def __init__(self, words: Sequence[str], matrix: Matrix) -> None:
        if len(words) != len(matrix) or not len(words):
            raise UsageError(f"there are {len(words)} words and {len(matrix)} vectors; expected a vector for each.")
        if not np.isfinite(matrix).all():
            row = int(np.flatnonzero(~np.isfinite(matrix).all(1))[0])
            raise UsageError(f"the vector of {words[row]!r:.60} is not finite.")
        self.words, self.matrix = list(words), np.ascontiguousarray(matrix, np.float32)
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

    def row(self, word: str) -> int:
        """The row of a word, as it is or in lower case. Raises `UsageError` for one that has no vector."""
        for form in (word, word.lower()):
            if form in self.index:
                return self.index[form]
        raise UsageError(f"the word {word!r:.60} has no vector among the {len(self.words):,}.")

    def known(self, *words: str) -> bool:
        """Whether all have a vector."""
        return all(word in self.index or word.lower() in self.index for word in words)

    def cosine(self, first: str, second: str) -> float:
        """Of the angle between two words' vectors. Raises `UsageError` for a word without one."""
        return float(self.unit[self.row(first)] @ self.unit[self.row(second)])

    def nearest(self, word: str, count: int = 10) -> list[tuple[str, float]]:
        """The words with the highest cosine to a word, itself left out; errors as of `row`."""
        row = self.row(word)
        return self._best(self.unit[row], {row}, count)

    def analogy(self, a: str, b: str, c: str, count: int = 1) -> list[tuple[str, float]]:
        """What is to c as b is to a: the highest cosine to b - a + c of unit vectors, the three left out.

        Mikolov et al. 2013 (https://arxiv.org/abs/1301.3781). Errors as of `row`.
        """
        rows = [self.row(word) for word in (a, b, c)]
        first, second, third = self.unit[rows]
        return self._best(second - first + third, set(rows), count)

    def _best(self, target: Matrix, left_out: set[int], count: int) -> list[tuple[str, float]]:
        length = float(np.linalg.norm(target)) or 1.0
        scores = self.unit @ (target / length)
        scores[list(left_out)] = -np.inf
        count = min(count, len(scores) - len(left_out))
        rows = np.argpartition(-scores, max(0, count - 1))[:count]
        ordered = rows[np.lexsort((rows, -scores[rows]))]
        return [(self.words[row], float(scores[row])) for row in ordered]

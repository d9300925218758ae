"""A word as its n-grams of characters, as fastText hashes them (Bojanowski et al. 2017, https://arxiv.org/abs/1607.04606).

`<word>` in its n-grams of 3 to 6 characters (not bytes), each hashed by FNV-1a of its bytes in UTF-8 into a bucket. A
word's vector is the mean of its own row and its buckets' rows; an unseen word's that of its buckets' rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_PRIME, _OFFSET = 16777619, 2166136261


def n_grams(word: str, shortest: int, longest: int) -> Iterator[str]:
    """Of `<word>`, from left to right, shorter ones first; single marks of its beginning and end are none."""
    framed = f"<{word}>"
    for start in range(len(framed)):
        for end in range(start + shortest, min(start + longest, len(framed)) + 1):
            if end - start > 1 or 0 < start < len(framed) - 1:
                yield framed[start:end]


def fnv(text: str) -> int:
    """FNV-1a of 32 bits; as in fastText, a byte above 127 is a negative number, whose sign fills the upper bits."""
    found = _OFFSET
    for byte in text.encode():
        found ^= byte | 0xFFFFFF00 if byte > 127 else byte
        found = found * _PRIME & 0xFFFFFFFF
    return found


def buckets(word: str, shortest: int, longest: int, count: int) -> np.ndarray:
    """(n,) the buckets, of so many, of a word's n-grams."""
    return np.array([fnv(gram) % count for gram in n_grams(word, shortest, longest)], np.int64)


@dataclass(frozen=True)
class NGrams:
    """Rows of n-grams, by which any word has a vector.

    Attributes:
        matrix: (buckets, d).
        shortest, longest: characters of an n-gram.
    """

    matrix: np.ndarray
    shortest: int
    longest: int

    def vector(self, word: str) -> np.ndarray | None:
        """(d,) the mean of a word's n-grams; None of a word so short that it has none."""
        rows = buckets(word, self.shortest, self.longest, len(self.matrix))
        return np.asarray(self.matrix[rows].mean(0), np.float32) if len(rows) else None

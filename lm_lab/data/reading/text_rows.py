"""One or two texts a row, with a class, a graded score or several classes."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from lm_lab.data.reading import word_columns
from lm_lab.data.reading.lines import Lines
from lm_lab.data.reading.word_columns import WordValues


@dataclass(frozen=True)
class TextRows:
    """One split: texts, labels and ids of n examples.

    Attributes:
        texts: one or two lists of n strings, in the order of the task's columns.
        labels: (n,) float64, or (n, k) of k classes that may hold at once; nan for a row without label.
        ids: (n,) int64, unique.
        origin: the file or source, for messages.
        unlabelled: what was read as "no label", and how often.
        beside: numbers of the words of each text.
    """

    texts: tuple[list[str], ...]
    labels: np.ndarray
    ids: np.ndarray
    origin: str
    unlabelled: Counter[str] = field(default_factory=Counter)
    beside: WordValues = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def labelled(self) -> np.ndarray:
        """(n,) bool: which rows have a label."""
        return ~np.isnan(self.labels.reshape(len(self), -1)).any(1)

    def content(self) -> Iterator[bytes]:
        """Texts, labels, ids and what stands beside, for a fingerprint."""
        yield "\0".join(["", *(text for column in self.texts for text in column)]).encode()
        yield self.labels.tobytes() + self.ids.tobytes()
        yield from word_columns.content(self.beside)

    def take(self, index: np.ndarray) -> "TextRows":
        """The rows at `index`, in that order."""
        texts = tuple([column[i] for i in index] for column in self.texts)
        beside = word_columns.take(self.beside, index)
        return TextRows(texts, self.labels[index], self.ids[index], self.origin, self.unlabelled, beside)


def text_rows(lines: Lines) -> TextRows:
    """Lines that a user gives, as rows without labels."""
    texts = tuple(lines.column(place) for place in range(len(lines.texts[0])))
    return TextRows(texts, np.full(len(lines.ids), np.nan), lines.ids, lines.origin)

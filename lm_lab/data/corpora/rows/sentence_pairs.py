"""Pairs of segments to tell the relation of: next sentence, sentence order, StructBERT's three ways.

    [CLS] a [SEP] b [SEP]        a, b: whole sentences side by side, that fill a row together; 10% are shorter

    rows                  label    b is
    NextSentencePairs     0, 1     what follows a; the beginning of a stretch of another document     1/2 each
    SentenceOrderPairs    0, 1     what follows a; what goes before it                                1/2 each
    ThreeWayPairs         0, 1, 2  what follows a; what goes before it; of another document           1/3 each

(Devlin et al. 2019, BERT; Lan et al. 2020, ALBERT; Wang et al. 2020, StructBERT.) Pairs are drawn anew at every epoch.
What would have followed a, where b is of another document, goes back to the text and begins the next pair. A last
sentence that stands alone makes no pair: BERT pairs it with another document, so that a lone sentence tells the label.
"""

from abc import ABC
from typing import ClassVar

import numpy as np

from lm_lab.data.corpora.rows.base import CorpusRow, CorpusRows, RowLayout
from lm_lab.data.corpora.store import TokenStore
from lm_lab.errors import UsageError

_SHORT = 0.1  # share of pairs that are shorter than a row (BERT)
NEXT, PREVIOUS, RANDOM = "next", "previous", "random"
Span = tuple[int, int]


class SentencePairs(CorpusRows, ABC):
    """Pairs of segments with the label of their relation.

    Attributes:
        label: what a row calls it.
        relations: what b may be to a, each equally likely; a label is a place in this list.

    Args:
        store: the documents.
        layout: how rows are laid out.

    Raises:
        UsageError: no document has two sentences, or there is one document alone where another is needed.
    """

    label: ClassVar[str]
    relations: ClassVar[tuple[str, ...]]

    def __init__(self, store: TokenStore, layout: RowLayout) -> None:
        super().__init__(store, layout)
        layout.require_room(2)
        if RANDOM in self.relations and len(store) < 2:
            raise UsageError(f"{type(self).__name__} needs two documents or more, to take segments of another one.")
        self._drawn = (0, self._draw(0))
        self._count = len(self._drawn[1])
        if not self._count:
            raise UsageError(
                f"no document has two sentences, so {type(self).__name__} finds no pair; give longer documents "
                "(data.starts joins lines)."
            )

    def lengths(self, epoch: int) -> np.ndarray:
        """(n,) tokens of each row."""
        pairs = self._pairs(epoch)
        return pairs[:, 1] - pairs[:, 0] + pairs[:, 3] - pairs[:, 2] + self.layout.max_length - self.layout.room(2)

    def row(self, epoch: int, index: int) -> CorpusRow:
        """A pair and the label of its relation, ()."""
        start, stop, second, end, label = map(int, self._pairs(epoch)[index])
        return self.layout.row(self.store.tokens(start, stop), self.store.tokens(second, end), **{self.label: label})

    def _pairs(self, epoch: int) -> np.ndarray:
        """(n, 5) an epoch's pairs, as many as in the first: where a starts and stops, where b does, the label."""
        if self._drawn[0] != epoch:
            pairs = self._draw(epoch)
            self.random(epoch, 1).shuffle(pairs)
            self._drawn = (epoch, np.resize(pairs, (self._count, 5)))
        return self._drawn[1]

    def _draw(self, epoch: int) -> np.ndarray:
        rng = self.random(epoch, 0)
        found = [pair for document in range(len(self.store)) for pair in self._of_document(document, rng)]
        return np.array(found, np.int64).reshape(-1, 5)

    def _of_document(self, document: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
        ends, found, i = self._sentences(document), list[tuple[int, ...]](), 0
        while i + 2 < len(ends):
            room = self.layout.room(2)
            target = int(rng.integers(2, room + 1)) if rng.random() < _SHORT else room
            j = max(i + 2, min(len(ends) - 1, int(np.searchsorted(ends, ends[i] + target))))
            middle = int(rng.integers(i + 1, j))
            label = int(rng.integers(len(self.relations)))
            a, b = (int(ends[i]), int(ends[middle])), (int(ends[middle]), int(ends[j]))
            relation, i = self.relations[label], j
            if relation == RANDOM:
                b, i = self._elsewhere(document, target - (a[1] - a[0]), rng), middle
            a, b = (b, a) if relation == PREVIOUS else (a, b)
            found.append((*fit(a, b, room, rng), label))
        return found

    def _elsewhere(self, document: int, target: int, rng: np.random.Generator) -> Span:
        """Sentences of another document from one that is drawn on, until they have `target` tokens."""
        other = int(rng.integers(len(self.store) - 1))
        ends = self._sentences(other + (other >= document))
        start = int(rng.integers(len(ends) - 1))
        stop = max(start + 1, min(len(ends) - 1, int(np.searchsorted(ends, ends[start] + target))))
        return int(ends[start]), int(ends[stop])

    def _sentences(self, document: int) -> np.ndarray:
        """(s + 1,) where the document and each of its sentences end, in tokens; its start comes first."""
        first, last = self.store.documents[document : document + 2]
        return self.store.sentences[first : last + 1]


def fit(a: Span, b: Span, room: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Cut two spans to `room` tokens in all: the longer one first, each token from a side that is drawn (BERT)."""
    sizes = a[1] - a[0], b[1] - b[0]
    excess = max(0, sum(sizes) - room)
    gap = min(excess, abs(sizes[0] - sizes[1]))
    from_a = (gap if sizes[0] > sizes[1] else 0) + (excess - gap) // 2
    return (*_cut(a, from_a, rng), *_cut(b, excess - from_a, rng))


def _cut(span: Span, count: int, rng: np.random.Generator) -> Span:
    front = int(rng.binomial(count, 0.5))
    return span[0] + front, span[1] - (count - front)


class NextSentencePairs(SentencePairs):
    """BERT's pairs: label 1 says that b is of another document."""

    label, relations = "next_sentence", (NEXT, RANDOM)


class SentenceOrderPairs(SentencePairs):
    """ALBERT's pairs: label 1 says that the two are swapped. Both are always of one document."""

    label, relations = "sentence_order", (NEXT, PREVIOUS)


class ThreeWayPairs(SentencePairs):
    """StructBERT's pairs: b follows a, goes before it, or is of another document."""

    label, relations = "sentence_structure", (NEXT, PREVIOUS, RANDOM)

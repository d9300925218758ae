"""Rows cut from all documents as one stream: every token is read, none is padding (RoBERTa's FULL-SENTENCES, GPT's).

    encoder    [CLS] ... end of a document [SEP] start of the next ... [SEP]
    decoder          ... end of a document <eos> start of the next ...

The stream is a ring, cut anew at every epoch at an offset that is drawn. Documents of a row see each other, as they do
in RoBERTa and GPT; what stands between them is all that tells them apart.
"""

import numpy as np

from lm_lab.data.corpora.rows.base import CorpusRow, CorpusRows, RowLayout
from lm_lab.data.corpora.store import TokenStore
from lm_lab.errors import UsageError


class Stream:
    """All documents of a store as a ring of tokens, each followed by the layout's glue.

    Args:
        store: the documents.
        glue: ids behind each document.
    """

    def __init__(self, store: TokenStore, glue: tuple[int, ...]) -> None:
        self.store, self.glue = store, np.asarray(glue, np.int64)
        self._bounds = store.bounds
        self._ends = np.diff(self._bounds).cumsum() + len(glue) * np.arange(1, len(store) + 1)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def read(self, start: int, count: int) -> np.ndarray:
        """`count` ids from place `start` on, (count,) int64."""
        found, place = list[np.ndarray](), start % len(self)
        while count:
            part = self._document(place, count)
            found.append(part)
            count -= len(part)
            place = (place + len(part)) % len(self)
        return np.concatenate(found)

    def _document(self, place: int, count: int) -> np.ndarray:
        """At most `count` ids from `place` on, none behind the glue of the document there."""
        document = int(np.searchsorted(self._ends, place, side="right"))
        stop = int(self._bounds[document + 1])
        begin = stop + len(self.glue) - (int(self._ends[document]) - place)  # place, counted as the store does
        ids = self.store.tokens(begin, min(stop, begin + count)) if begin < stop else self.glue[:0]
        return np.concatenate([ids, self.glue[max(0, begin - stop) :]])[:count]


class Packed(CorpusRows):
    """Full rows of one stream of documents.

    Args:
        store: the documents.
        layout: how rows are laid out.

    Raises:
        UsageError: the documents do not fill one row.
    """

    def __init__(self, store: TokenStore, layout: RowLayout) -> None:
        super().__init__(store, layout)
        self.stream = Stream(store, layout.glue)
        self.size = layout.room() if layout.templated else layout.max_length
        if len(self.stream) < self.size:
            raise UsageError(
                f"max_length={layout.max_length}: {len(store)} documents of {len(self.stream)} tokens in all fill no "
                "row; give more text or a shorter row."
            )

    def lengths(self, epoch: int) -> np.ndarray:  # noqa: ARG002
        """(n,) tokens of each row: all are full."""
        return np.full(len(self.stream) // self.size, self.layout.max_length)

    def row(self, epoch: int, index: int) -> CorpusRow:
        """A row of the epoch's cut; the first epoch's starts with the first document."""
        offset = int(self.random(epoch).integers(self.size)) if epoch else 0
        ids = self.stream.read(offset + index * self.size, self.size)
        return self.layout.row(ids) if self.layout.templated else CorpusRow(ids)

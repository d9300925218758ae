"""A row a sentence; a batch is a run of sentences as they stand in the text, so that each has its neighbours beside it.

    [CLS] sentence i [SEP]        [CLS] sentence i + 1 [SEP]        ...        one batch

Rows have the number of their `document`: neighbours across its end are none. Batches come in an order that is drawn
once. What is longer than a row is cut. A decoder's sentence ends with the token that its vector will be read at.
"""

from dataclasses import replace

import numpy as np

from lm_lab.data.corpora.rows.base import CorpusRow, CorpusRows, RowLayout
from lm_lab.data.corpora.store import TokenStore
from lm_lab.errors import UsageError


class ConsecutiveSentences(CorpusRows):
    """Sentences in the order of the text, for objectives that learn from the sentences around one.

    Args:
        store: the documents.
        layout: how rows are laid out.

    Raises:
        UsageError: no document has two sentences.
    """

    def __init__(self, store: TokenStore, layout: RowLayout) -> None:
        super().__init__(store, replace(layout, template=replace(layout.template, end=layout.extract)))
        own = np.arange(store.documents[0], store.documents[-1])  # a part of a corpus has the sentences of all
        spans = np.stack([store.sentences[own], store.sentences[own + 1]], axis=1)
        documents = np.searchsorted(store.documents, own, side="right") - 1
        there = spans[:, 1] > spans[:, 0]
        self.spans, self.documents = spans[there], documents[there]
        if not (np.diff(self.documents) == 0).any():
            raise UsageError(
                "no document has two sentences, so no sentence has a neighbour; give longer documents (data.starts "
                "joins lines)."
            )

    def lengths(self, epoch: int) -> np.ndarray:  # noqa: ARG002
        """(n,) tokens of each row: always the same."""
        room = self.layout.room()
        return np.minimum(self.spans[:, 1] - self.spans[:, 0], room) + self.layout.max_length - room

    def row(self, epoch: int, index: int) -> CorpusRow:  # noqa: ARG002
        """A sentence and the number of its document."""
        start, stop = map(int, self.spans[index])
        tokens = self.store.tokens(start, min(stop, start + self.layout.room()))
        return self.layout.row(tokens, document=int(self.documents[index]))

    def lanes(self, batch_size: int) -> list[list[int]]:
        """Runs of so many sentences; what is left over at the end is read by none, unless it is all."""
        count = max(1, len(self.spans) // batch_size)
        order = self.random(0).permutation(count).tolist()
        return [list(range(place * batch_size, min((place + 1) * batch_size, len(self.spans)))) for place in order]

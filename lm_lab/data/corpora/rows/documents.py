"""A row a document, as a sequence or, where it has two segments, as a pair; padded to the longest of its batch.

    [CLS] document [SEP]                [CLS] first [SEP] second [SEP]

What is longer than a row is cut, with a warning that counts: the tail of a document is never read. `Packed` reads all.
"""

from functools import cached_property

import numpy as np
from lightning.pytorch.utilities import rank_zero_warn

from lm_lab.data.corpora.rows.base import CorpusRow, CorpusRows, RowLayout
from lm_lab.data.corpora.store import TokenStore


class Documents(CorpusRows):
    """One row a document, for texts that are shorter than a row.

    Args:
        store: the documents.
        layout: how rows are laid out.
    """

    def __init__(self, store: TokenStore, layout: RowLayout) -> None:
        super().__init__(store, layout)
        if cut := int((self._sizes.sum(axis=1) < np.diff(store.bounds)).sum()):
            rank_zero_warn(
                f"{cut} of {len(store)} documents are longer than {layout.max_length} tokens and were truncated"
            )

    def lengths(self, epoch: int) -> np.ndarray:  # noqa: ARG002
        """(n,) tokens of each row: always the same."""
        alone = self.layout.max_length - self.layout.room(1)
        paired = self.layout.max_length - self.layout.room(2)
        return self._sizes.sum(axis=1) + np.where(self._paired, paired, alone)

    def row(self, epoch: int, index: int) -> CorpusRow:  # noqa: ARG002
        """The document's row."""
        start = int(self.store.bounds[index])
        first, second = map(int, self._sizes[index])
        if not self._paired[index]:
            return self.layout.row(self.store.tokens(start, start + first))
        middle = start + int(self.store.firsts[index])
        return self.layout.row(self.store.tokens(start, start + first), self.store.tokens(middle, middle + second))

    @cached_property
    def _paired(self) -> np.ndarray:
        return self.store.firsts >= 0

    @cached_property
    def _sizes(self) -> np.ndarray:
        """(n, 2) tokens of both segments that fit: the longer one is cut first, then both to a half."""
        total, firsts, room = np.diff(self.store.bounds), self.store.firsts, self.layout.room(2)
        first = np.where(firsts >= 0, firsts, total)
        second = total - first
        short = np.minimum(np.minimum(first, second), room // 2)
        kept = np.where(first <= second, short, room - short)
        cut, whole = np.stack([kept, room - kept], 1), np.stack([first, second], 1)
        pairs = np.where((total > room)[:, None], cut, whole)
        alone = np.stack([np.minimum(total, self.layout.room(1)), np.zeros_like(total)], 1)
        return np.where((firsts >= 0)[:, None], pairs, alone)

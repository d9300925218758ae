"""Rows that go on where the row of the batch before ended, for models with a memory (Transformer-XL, XLNet).

    batch 0    row k: tokens k * s * t to k * s * t + t          s batches, rows of t tokens
    batch 1    row k: the next t tokens                          continues: True

The stream of documents is cut into as many lanes as a batch has rows, and each batch takes one step in all of them.
Batches come in that order alone; a lane's first row continues nothing.
"""

import numpy as np

from lm_lab.data.corpora.rows.base import CorpusRow
from lm_lab.data.corpora.rows.packed import Packed


class Continuing(Packed):
    """Full rows of one stream, in lanes. Raises what `Packed` raises."""

    def lanes(self, batch_size: int) -> list[list[int]]:
        """Batches of equal size in the order of the text; rows that fill no batch are left out."""
        steps = max(1, len(self) // batch_size)
        lanes = np.arange(min(batch_size, len(self)))[:, None] * steps + np.arange(steps)
        self.steps = steps
        return lanes.T.tolist()

    def row(self, epoch: int, index: int) -> CorpusRow:
        """A row, and whether it `continues` the same row of the batch before."""
        return super().row(epoch, index)._replace(labels={"continues": index % self.steps > 0})

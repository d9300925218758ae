"""Batches of a corpus' rows: of similar length in an order that is drawn, or in the order of the text."""

from typing import Any

from lm_lab.data.batching import LengthGroupedBatches
from lm_lab.data.corpora.rows.base import CorpusRows
from lm_lab.errors import UsageError

# batches group lengths this coarsely: documents of exactly one length are of one kind, and batches of one kind
# after another slow learning down far more than some padding does
_LENGTH_STEP = 24


class RowBatches(LengthGroupedBatches):
    """Keys of rows, (epoch, number) each: a worker process makes the right epoch's row whenever it was started.

    Args:
        rows: whose lengths may be others at every epoch.
        batch_size: rows in a batch.
        seed: of the shuffling.
        shuffle: False gives the longest first, each row once, the same at every epoch.
        rank, world: this process and their number. They take turns over the batches; where rows go on from batch to
            batch, each process has lanes of its own, as many as any other.

    Raises:
        UsageError: rows that go on from batch to batch, or that are held out, are fewer than processes.
    """

    def __init__(
        self, rows: CorpusRows, batch_size: int, seed: int = 0, shuffle: bool = True, rank: int = 0, world: int = 1
    ) -> None:
        if not shuffle and len(rows.lengths(0)) < world:
            raise UsageError(
                f"{len(rows.lengths(0))} held-out rows are fewer than {world} processes: hold out more text."
            )
        lanes = rows.lanes(batch_size * world)
        place = {"rank": rank, "world": world} if lanes is None else {}
        super().__init__(rows.lengths(0) // _LENGTH_STEP, batch_size, seed, shuffle, **place)
        self.rows = rows
        self.own = lanes and _share(lanes, rank, world)

    def __len__(self) -> int:
        return super().__len__() if self.own is None else len(self.own)

    def _batches(self) -> list[list[Any]]:
        if self.shuffle and self.own is None:
            self.lengths = self.rows.lengths(self.epoch) // _LENGTH_STEP
        epoch = self.epoch if self.shuffle else 0
        return [[(epoch, index) for index in batch] for batch in self.own or super()._batches()]


def _share(lanes: list[list[int]], rank: int, world: int) -> list[list[int]]:
    """The lanes of one process; those that leave a remainder are read by none."""
    each = len(lanes[0]) // world
    if not each:
        raise UsageError(f"{len(lanes[0])} rows cannot go on in {world} processes: give more text or shorter rows.")
    return [batch[rank * each : (rank + 1) * each] for batch in lanes]

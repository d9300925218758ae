"""Batches of similar length: less padding, in an order that is random at every epoch and the same for a seed."""

from collections.abc import Callable, Iterator
from typing import Any

import lightning as L
import numpy as np
import torch
from torch.utils.data import Dataset, Sampler
from torchdata.stateful_dataloader import StatefulDataLoader

POOL_BATCHES = 50


class LengthGroupedBatches(Sampler[list[int]]):
    """Shuffle all, sort by length within pools of 50 batches, cut into batches, shuffle the batches.

    The order depends on (seed, epoch) alone, and the position inside an epoch is part of `state_dict`, so a resumed
    run goes on with the very next batch. Processes of a distributed run take turns over the same list of batches.

    Args:
        lengths: (n,) tokens of each example.
        batch_size: examples in a batch; the last one may be smaller.
        seed: of the shuffling.
        shuffle: False gives the longest first, each example once, the same at every epoch.
        rank, world: this process and their number; training lists are filled up to equal counts.
    """

    def __init__(
        self, lengths: np.ndarray, batch_size: int, seed: int = 0, shuffle: bool = True, rank: int = 0, world: int = 1
    ) -> None:
        self.lengths, self.batch_size, self.seed, self.shuffle = lengths, batch_size, seed, shuffle
        self.rank, self.world = rank, world
        self.epoch = 0
        self._given = 0
        self._resume = {"epoch": 0, "given": 0}

    @property
    def sampler(self) -> "LengthGroupedBatches":
        """Lightning calls `set_epoch` on a batch sampler's `sampler`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch's order."""
        self.epoch = epoch

    def __len__(self) -> int:
        batches = -(-len(self.lengths) // self.batch_size)
        return -(-batches // self.world) if self.shuffle else len(range(self.rank, batches, self.world))

    def __iter__(self) -> Iterator[list[int]]:
        batches = self._batches()
        if self.shuffle:  # every process must take the same number of steps
            batches += batches[: -len(batches) % self.world]
        # a checkpoint at the end of an epoch is resumed in the next one, which has given nothing yet
        self._given = self._resume["given"] if self._resume["epoch"] == self.epoch else 0
        self._resume = {"epoch": 0, "given": 0}
        for batch in batches[self.rank :: self.world][self._given :]:
            self._given += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Epoch and number of batches given in it."""
        return {"epoch": self.epoch, "given": self._given}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the batches that were given."""
        self.epoch, self._resume = state["epoch"], dict(state)

    def _batches(self) -> list[list[int]]:
        if not self.shuffle:
            return self._cut(np.argsort(-self.lengths, kind="stable"))
        random = np.random.default_rng([self.seed, self.epoch])
        order = random.permutation(len(self.lengths))
        pool = self.batch_size * POOL_BATCHES
        pools = [order[start : start + pool] for start in range(0, len(order), pool)]
        batches = [batch for p in pools for batch in self._cut(p[np.argsort(self.lengths[p], kind="stable")])]
        random.shuffle(batches)
        return batches

    def _cut(self, order: np.ndarray) -> list[list[int]]:
        return [order[start : start + self.batch_size].tolist() for start in range(0, len(order), self.batch_size)]


def grouped_loader(
    dataset: Dataset[Any],
    batches: LengthGroupedBatches,
    collate: Callable[[Any], Any],
    num_workers: int = 0,
) -> StatefulDataLoader:
    """A loader that resumes in mid-epoch, over `batches` of `dataset`."""
    return StatefulDataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=num_workers,
        generator=torch.Generator(),  # else every pass over a loader draws from the run's own numbers
    )


def place(trainer: L.Trainer | None) -> dict[str, int]:
    """`rank` and `world` of this process; one alone without a trainer."""
    return {"rank": trainer.global_rank, "world": trainer.world_size} if trainer else {"rank": 0, "world": 1}

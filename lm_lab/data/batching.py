"""Batches of similar length: less padding, in an order that is random at every epoch and the same for a seed."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

POOL_BATCHES = 50
_FEWEST, _ALIKE = 16, 0.8  # in evaluation: rows of a batch, from which on it ends before texts that are much shorter


class LengthGroupedBatches(Sampler[list[int]]):
    """Shuffle all, sort by length within pools of 50 batches, cut into batches, shuffle the batches.

    The order depends on (seed, epoch) alone, so that a position in it is a number: `ResumableLoader` keeps it.
    Processes of a distributed run take turns over the same list of batches.

    Args:
        lengths: (n,) tokens of each example.
        batch_size: examples in a batch; the last one may be smaller.
        seed: of the shuffling.
        shuffle: False gives the longest first, each example once, the same at every epoch; a batch of 16 or more ends
            before texts shorter than 0.8 of its longest, since padding them costs more than another batch.
        rank, world: this process and their number. Training lists are filled up to equal counts; in evaluation every
            process has a batch, smaller than `batch_size` where there are few examples, and one that another has too
            where there are fewer than processes: Lightning calls no hook of a process without any.
    """

    def __init__(
        self, lengths: np.ndarray, batch_size: int, seed: int = 0, shuffle: bool = True, rank: int = 0, world: int = 1
    ) -> None:
        if not shuffle:
            batch_size = min(batch_size, max(1, len(lengths) // world))
        self.lengths, self.batch_size, self.seed, self.shuffle = lengths, batch_size, seed, shuffle
        self.rank, self.world = rank, world
        self.epoch = self.start = 0
        self._evaluated = [] if shuffle else self._alike()

    @property
    def sampler(self) -> "LengthGroupedBatches":
        """Lightning calls `set_epoch` on a batch sampler's `sampler`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch's order."""
        self.epoch = epoch

    def __len__(self) -> int:
        batches = -(-len(self.lengths) // self.batch_size) if self.shuffle else len(self._evaluated)
        return -(-batches // self.world) if self.shuffle else max(1, len(range(self.rank, batches, self.world)))

    def __iter__(self) -> Iterator[list[int]]:
        batches = self._batches()
        if self.shuffle:  # every process must take the same number of steps
            batches += batches[: -len(batches) % self.world]
        elif self.rank >= len(batches):
            batches = [batches[0]] * self.world
        yield from batches[self.rank :: self.world][self.start :]

    def _batches(self) -> list[list[int]]:
        if not self.shuffle:
            return list(self._evaluated)
        random = np.random.default_rng([self.seed, self.epoch])
        order = random.permutation(len(self.lengths))
        pool = self.batch_size * POOL_BATCHES
        pools = [order[start : start + pool] for start in range(0, len(order), pool)]
        batches = [batch for p in pools for batch in self._cut(p[np.argsort(self.lengths[p], kind="stable")])]
        random.shuffle(batches)
        return batches

    def _alike(self) -> list[list[int]]:
        """The longest first, in batches of similar length."""
        batches: list[list[int]] = []
        for index in np.argsort(-self.lengths, kind="stable").tolist():
            batch = batches[-1] if batches else []
            shorter = len(batch) >= _FEWEST and self.lengths[index] < _ALIKE * self.lengths[batch[0]]
            if not batch or shorter or len(batch) == self.batch_size:
                batches.append([])
            batches[-1].append(index)
        return batches

    def _cut(self, order: np.ndarray) -> list[list[int]]:
        return [order[start : start + self.batch_size].tolist() for start in range(0, len(order), self.batch_size)]


class ResumableLoader(DataLoader):
    """A loader of grouped batches that goes on in mid-epoch: its position is how many batches it has given.

    Those that worker processes have fetched ahead are not given yet, so a run may resume with another number of them.
    """

    batch_sampler: LengthGroupedBatches
    _given = 0
    _resume: Mapping[str, int] | None = None

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Go on where a state says, if it is of this epoch: one of an epoch's end is resumed in the next."""
        batches, state = self.batch_sampler, self._resume
        self._resume = None
        self._given = batches.start = state["given"] if state and state["epoch"] == batches.epoch else 0
        for batch in super().__iter__():
            self._given += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Epoch, batches given in it, and how many examples all processes take a batch."""
        batches = self.batch_sampler
        examples = batches.batch_size * batches.world
        return {"epoch": batches.epoch, "given": self._given, "examples": examples}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on after as many examples as were given, which are fewer batches if these have grown."""
        batches = self.batch_sampler
        given = state["given"] * state["examples"] // (batches.batch_size * batches.world)
        batches.epoch, self._resume = state["epoch"], {"epoch": state["epoch"], "given": given}


def grouped_loader(
    dataset: Dataset[Any],
    batches: LengthGroupedBatches,
    collate: Callable[[Any], Any],
    num_workers: int = 0,
    pin_memory: bool = False,
) -> ResumableLoader:
    """A loader that resumes in mid-epoch, over `batches` of `dataset`."""
    return ResumableLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=num_workers,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # else every pass over a loader draws from the run's own numbers
    )


def place(trainer: L.Trainer | None) -> dict[str, int]:
    """`rank` and `world` of this process; one alone without a trainer."""
    return {"rank": trainer.global_rank, "world": trainer.world_size} if trainer else {"rank": 0, "world": 1}


def pins(trainer: L.Trainer | None) -> bool:
    """True where batches go to a GPU: from pinned memory the copy runs beside the computation."""
    strategy = getattr(trainer, "strategy", None)
    return strategy is not None and strategy.root_device.type == "cuda"

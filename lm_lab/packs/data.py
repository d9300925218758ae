"""The batches of several runs, side by side: each run's are in the order that its own seed gives."""

from collections.abc import Iterator, Sequence
from typing import Any

import lightning as L

from lm_lab.data.batching import ResumableLoader
from lm_lab.data.modules.base import TaskData
from lm_lab.packs.streams import Stream


class SideBySide:
    """Loaders of as many batches; an item is one batch of each."""

    def __init__(self, loaders: Sequence[ResumableLoader]) -> None:
        self.loaders = list(loaders)

    @property
    def sampler(self) -> "SideBySide":
        """Lightning calls `set_epoch` on it."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch's order of each."""
        for loader in self.loaders:
            loader.batch_sampler.set_epoch(epoch)

    def __len__(self) -> int:
        return min(map(len, self.loaders))

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return zip(*self.loaders, strict=True)


class PackedData(L.LightningDataModule):
    """One task's data for several runs.

    Args:
        data: encoded, and bound to a model of the pack.
        streams: of the runs, whose seeds order the batches.
    """

    def __init__(self, data: TaskData, streams: Sequence[Stream]) -> None:
        super().__init__()
        self.data, self.streams = data, list(streams)

    def train_dataloader(self) -> SideBySide:
        """A loader of each run."""
        self.data.trainer = self.trainer
        loaders = []
        for stream in self.streams:
            with stream.drawn():
                loaders.append(self.data.train_dataloader())
        return SideBySide(loaders)

"""What is known of the splits that an epoch of evaluation covers, gathered batch by batch."""

from collections import defaultdict
from typing import NamedTuple

import torch
from torch import Tensor

from lm_lab.data.modules.base import HELD_OUT
from lm_lab.tasks import Judged, Task, task_score
from lm_lab.training.machine.processes import gathered


class _Batch(NamedTuple):
    """Judged examples, on the CPU: ids (b,), values (b,) or (b, k), labels (b,)."""

    ids: Tensor
    values: Tensor
    labels: Tensor


class Evaluation:
    """Judged examples of each split, over all processes.

    Attributes:
        last: split -> the examples of the last epoch, judged.
    """

    def __init__(self) -> None:
        self.last: dict[str, Judged] = {}
        self._batches: dict[str, list[_Batch]] = defaultdict(list)

    def update(self, split: str, ids: Tensor, judged: Judged) -> None:
        """Add a batch of a split."""
        self._batches[split].append(_Batch(ids.cpu(), judged.values.cpu().double(), judged.labels.cpu().double()))

    def close(self, task: Task) -> tuple[Task, dict[str, float]]:
        """The task with what held-out examples decide, and every value to log.

        Logged are a split's metrics, its details, and its score: the mean of the metrics. All processes must ask, those
        too that a small split has left without a batch.
        """
        found = {split: judged(batches) for split, batches in self._everywhere().items()}
        self.last = found
        if HELD_OUT in found:
            task = task.calibrated(*found[HELD_OUT])
        logged: dict[str, float] = {}
        for split, (values, labels) in found.items():
            scores = task.scores(values, labels)
            named = scores | task.detailed(values, labels) | {"score": task_score(scores)}
            logged |= {f"{split}/{name}": value for name, value in named.items()}
        return task, logged

    def _everywhere(self) -> dict[str, list[_Batch]]:
        own, self._batches = dict(self._batches), defaultdict(list)
        found: dict[str, list[_Batch]] = defaultdict(list)
        for of_process in gathered(own):
            for split, batches in of_process.items():
                found[split] += batches
        return dict(found)


def judged(batches: list[_Batch]) -> Judged:
    """Values and labels in the order of ids; of examples that several processes have seen, the first."""
    ids, values, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    order = torch.argsort(ids, stable=True)
    first = torch.ones_like(ids, dtype=torch.bool)
    first[1:] = ids[order][1:] != ids[order][:-1]
    keep = order[first]
    return Judged(values[keep], labels[keep])

"""Predictions of a split, gathered over batches and processes, each example once."""

import torch
from torch import Tensor
from torchmetrics import Metric


class Predictions(Metric):
    """(id, prediction, label) of every example seen.

    A sampler of a distributed run may repeat examples: `compute` keeps the first of each id, in the order of ids.
    """

    full_state_update = False
    ids: list[Tensor]
    values: list[Tensor]
    labels: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for name in ("ids", "values", "labels"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, ids: Tensor, values: Tensor, labels: Tensor) -> None:
        """Add a batch; all (b,)."""
        self.ids.append(ids)
        self.values.append(values.double())
        self.labels.append(labels.double())

    def compute(self) -> tuple[Tensor, Tensor, Tensor]:
        """Ids, predictions and labels, each (n,), on the CPU."""
        ids, values, labels = (_flat(getattr(self, name)) for name in ("ids", "values", "labels"))
        order = torch.argsort(ids, stable=True)
        first = torch.ones_like(ids, dtype=torch.bool)
        first[1:] = ids[order][1:] != ids[order][:-1]
        keep = order[first]
        return ids[keep], values[keep], labels[keep]


def _flat(state: list[Tensor] | Tensor) -> Tensor:
    return (torch.cat(list(state)) if isinstance(state, list) else state).cpu()

"""What predicting tokens must beat: guessing each by how often it is one."""

import torch
from torch import Tensor
from torchmetrics import Metric


class UnigramLoss(Metric):
    """Cross entropy in nats of tokens under their own frequencies, their entropy: no guess without context does better.

    It is that of what an objective predicts, not of its text: T5's sentinels, say, are easily guessed.

    Args:
        size: number of tokens.
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.add_state("counts", torch.zeros(size, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, targets: Tensor) -> None:
        """Count token ids (n,)."""
        self.counts += torch.bincount(targets, minlength=len(self.counts))

    def compute(self) -> Tensor:
        """The loss, a scalar."""
        return torch.special.entr(self.counts.double() / self.counts.sum()).sum().float()

"""What predicting tokens must beat: guessing each by how often it is one."""

import torch
from torch import Tensor, distributed, nn


class UnigramLoss(nn.Module):
    """Cross entropy in nats of tokens under their own frequencies, their entropy: no guess without context does better.

    It is that of what an objective predicts, not of its text: T5's sentinels, say, are easily guessed.

    Args:
        size: number of tokens.
    """

    counts: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("counts", torch.zeros(size, dtype=torch.long), persistent=False)

    def update(self, targets: Tensor) -> None:
        """Count token ids (n,)."""
        self.counts += torch.bincount(targets, minlength=len(self.counts))

    def close(self) -> float:
        """The loss over what all processes have counted, nan of nothing; forgets it."""
        counts = self.counts.clone()
        self.counts.zero_()
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(counts)
        return float(torch.special.entr(counts.double() / counts.sum()).sum())

"""From token vectors (b, t, d) to text vectors (b, d), and from two text vectors to one for the pair."""

from typing import Literal

import torch
from torch import Tensor

FixedPooling = Literal["cls", "mean", "max", "last"]
Pooling = Literal["cls", "mean", "max", "last", "attention", "lstm"]  # the last two learn: heads/readout.py


def pool(hidden: Tensor, mask: Tensor, how: FixedPooling) -> Tensor:
    """Pool over the real tokens; hidden (b, t, d), mask (b, t) with 1 for a token and 0 for padding -> (b, d).

    cls is the first real token, last the last one; both hold for padding on either side.
    """
    if how == "mean":
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)
    if how == "max":
        return hidden.masked_fill(mask.unsqueeze(-1) == 0, torch.finfo(hidden.dtype).min).amax(1)
    positions = torch.arange(mask.shape[1], device=mask.device) * mask
    index = mask.argmax(1) if how == "cls" else positions.argmax(1)
    return hidden[torch.arange(len(hidden), device=hidden.device), index]


def combine(u: Tensor, v: Tensor) -> Tensor:
    """SentEval's pair vector [u, v, |u - v|, u * v]; (b, d), (b, d) -> (b, 4 d) (Conneau & Kiela 2018)."""
    return torch.cat([u, v, (u - v).abs(), u * v], dim=-1)

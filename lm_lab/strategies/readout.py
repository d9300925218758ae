"""From hidden states to scores: choose layers, pool tokens, mix layers, join the two texts of a pair, score.

Everything up to the pooled vectors is fixed where the backbone is frozen, so those may be computed once and kept.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from lm_lab.backbones.pooling import Pooling, combine, pool
from lm_lab.strategies.mix import ScalarMix


class AttentionPooling(nn.Module):
    """sum_t softmax_t(q . h_t / sqrt d) h_t over the real tokens, with a learned q; q = 0 starts at the mean."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(width))

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """hidden (b, t, d), mask (b, t) -> (b, d)."""
        scores = (hidden @ self.query.to(hidden.dtype)) / hidden.shape[-1] ** 0.5
        weights = scores.masked_fill(mask == 0, torch.finfo(scores.dtype).min).softmax(1)  # (b, t)
        return torch.einsum("bt,btd->bd", weights, hidden)


class Readout(nn.Module):
    """What reads a backbone: its parameters are the head's in every count.

    Args:
        layers: hidden states to read.
        mix: how they become one; None for a single layer.
        pooling: cls, mean, max, last or attention.
        scorer: from pooled vectors (b, inputs) to scores.
        width: d of the hidden states.
    """

    def __init__(
        self, layers: tuple[int, ...], mix: ScalarMix | None, pooling: Pooling, scorer: nn.Module, width: int
    ) -> None:
        super().__init__()
        self.layers, self.mix, self.scorer = layers, mix, scorer
        self.pool = AttentionPooling(width) if pooling == "attention" else partial(pool, how=pooling)

    @property
    def learns_to_pool(self) -> bool:
        """True if pooled vectors change as the head trains."""
        return isinstance(self.pool, nn.Module)

    def pooled(self, states: Sequence[Tensor], mask: Tensor) -> Tensor:
        """One vector a layer; states (b, t, d) for each of `layers`, mask (b, t) -> (b, n, d)."""
        prepared = [state if self.mix is None else self.mix.prepare(state, mask) for state in states]
        return torch.stack([self.pool(state, mask) for state in prepared], dim=1).float()

    def vector(self, pooled: Tensor) -> Tensor:
        """Pooled states of one or two texts (b, texts, n, d) -> (b, d) or the pair's (b, 4 d)."""
        return self.joined(pooled[:, :, 0] if self.mix is None else self.mix(pooled))

    @staticmethod
    def joined(vectors: Tensor) -> Tensor:
        """Vectors of one or two texts (b, texts, d) -> (b, d) or the pair's (b, 4 d)."""
        return vectors[:, 0] if vectors.shape[1] == 1 else combine(vectors[:, 0], vectors[:, 1])

    def forward(self, pooled: Tensor) -> Tensor:
        """(b, texts, n, d) -> scores (b, outputs)."""
        return self.scorer(self.vector(pooled))

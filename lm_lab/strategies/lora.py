"""LoRA: a low-rank update beside frozen linear layers (Hu et al. 2021, https://arxiv.org/abs/2106.09685).

    y = W x + (alpha / r) B A dropout(x)        A: (r, inputs), B: (outputs, r)

A is Kaiming-uniform (a = sqrt 5), B zero: the adapted model starts as the original one. Cost of one site:
r (inputs + outputs). On a fused projection (GPT-2's c_attn, ModernBERT's Wqkv) a role updates its slice of the
output; the role "qkv" updates the whole. `merge` folds the update into W, after which inference costs nothing more.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.backbones.sites import linear_sizes
from lm_lab.errors import UsageError
from lm_lab.strategies.base import AdaptationStrategy, Delta, attach, detach


class LowRank(Delta):
    """The update of one linear layer, or of the slice `part` of its output."""

    def __init__(self, linear: nn.Module, part: slice | None, rank: int, alpha: float, dropout: float) -> None:
        super().__init__()
        inputs, outputs = linear_sizes(linear)
        self.outputs, self.part = outputs, part or slice(0, outputs)
        self.down = nn.Parameter(torch.empty(rank, inputs))
        self.up = nn.Parameter(torch.zeros(self.part.stop - self.part.start, rank))
        self.dropout = nn.Dropout(dropout)
        self.scale = alpha / rank
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        """x (..., inputs), y (..., outputs) -> (..., outputs)."""
        update = F.linear(F.linear(self.dropout(x), self.down), self.up) * self.scale
        return y + F.pad(update, (self.part.start, self.outputs - self.part.stop))

    @torch.no_grad()
    def fold(self, linear: nn.Module) -> None:
        """Add the update to the weight of `linear`."""
        weight = linear.get_parameter("weight")
        rows = weight if isinstance(linear, nn.Linear) else weight.T  # Conv1D stores (inputs, outputs)
        rows[self.part] += self.scale * self.up @ self.down


@dataclass(frozen=True)
class LoRA(AdaptationStrategy):
    """Low-rank updates of the linear layers that play `roles`.

    Args:
        rank: r.
        alpha: the update is scaled by alpha / r.
        dropout: on the input of the update.
        roles: sites to adapt; the paper's are query and value.
    """

    learning_rate: ClassVar[float] = 5e-4
    learning_rates: ClassVar[tuple[float, ...]] = (2e-4, 5e-4, 2e-3)

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    roles: Sequence[str] = ("query", "value")

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise UsageError(f"rank={self.rank}: LoRA needs a rank of at least 1.")
        if not self.roles:
            raise UsageError("roles=[]: LoRA needs at least one role, such as query.")

    def inject(self, backbone: Backbone) -> None:
        """Add an update beside every site. Raises `UsageError` for a role the family lacks."""
        for role in self.roles:
            for match in backbone.sites(role):
                delta = LowRank(match.module, match.part, self.rank, self.alpha, self.dropout)
                attach(match.module, f"lora_{role}", delta)

    def merge(self, backbone: Backbone) -> None:
        """Fold every update into its weight and remove it: same outputs, no cost at inference."""
        for role in self.roles:
            for match in backbone.sites(role):
                delta = detach(match.module, f"lora_{role}")
                assert isinstance(delta, LowRank)
                delta.fold(match.module)

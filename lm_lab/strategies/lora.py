"""LoRA: a low-rank update beside frozen linear layers (Hu et al. 2021, https://arxiv.org/abs/2106.09685).

    y = W x + s B A dropout(x)        A: (r, inputs), B: (outputs, r)

s = alpha / r, or alpha / sqrt r with rank-stabilised scaling (Kalajdzievski 2023, https://arxiv.org/abs/2312.03732),
which keeps the size of the update as r grows. A is Kaiming-uniform (a = sqrt 5), B zero: the adapted model starts as
the original one. Cost of one site: r (inputs + outputs). On a fused projection (GPT-2's c_attn, ModernBERT's Wqkv) a
role updates its slice of the output; the role "qkv" updates the whole. `merge` folds the update into W, after which
inference costs nothing more.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.backbones.backbone import LINEAR
from lm_lab.backbones.sites import Match, linear_sizes
from lm_lab.errors import UsageError
from lm_lab.strategies import limits
from lm_lab.strategies.base import AdaptationStrategy, Delta, attach, detach

Roles = Sequence[str] | Literal["all"]


class LowRank(Delta):
    """The update of one linear layer, or of the slice `part` of its output."""

    def __init__(self, linear: nn.Module, part: slice | None, rank: int, scale: float, dropout: float) -> None:
        super().__init__()
        inputs, outputs = linear_sizes(linear)
        self.outputs, self.part = outputs, part or slice(0, outputs)
        self.down = nn.Parameter(torch.empty(rank, inputs))
        self.up = nn.Parameter(torch.zeros(self.part.stop - self.part.start, rank))
        self.dropout = nn.Dropout(dropout)
        self.scale = scale
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def update(self, x: Tensor) -> Tensor:
        """s B A dropout(x); x (..., inputs) -> (..., width of the part)."""
        return F.linear(F.linear(self.dropout(x), self.down), self.up) * self.scale

    def after(self, module: nn.Module, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG002
        """x (..., inputs), y (..., outputs) -> (..., outputs)."""
        return y + self.widen(self.update(x))

    def widen(self, values: Tensor) -> Tensor:
        """Zeros around the part: (..., width of the part) -> (..., outputs)."""
        return F.pad(values, (self.part.start, self.outputs - self.part.stop))

    @torch.no_grad()
    def fold(self, linear: nn.Module) -> None:
        """Add the update to the weight of `linear`."""
        weight_rows(linear)[self.part] += self.scale * self.up @ self.down


def weight_rows(linear: nn.Module) -> Tensor:
    """A view of the weight as (outputs, inputs); `transformers`' Conv1D stores it transposed."""
    weight = linear.get_parameter("weight")
    return weight if isinstance(linear, nn.Linear) else weight.T


@dataclass(frozen=True)
class LoRA(AdaptationStrategy):
    """Low-rank updates of the linear layers that play `roles`.

    Args:
        rank: r; one above a layer's widths is taken, as PEFT does, and can express no more.
        alpha: the update is scaled by alpha / r.
        dropout: on the input of the update.
        roles: sites to adapt; the paper's are query and value; "all" takes every linear layer of the blocks.
        rank_stabilised: scale by alpha / sqrt r instead.
    """

    learning_rate: ClassVar[float] = 5e-4
    learning_rates: ClassVar[tuple[float, ...]] = (2e-4, 5e-4, 2e-3)
    merges: ClassVar[bool] = True
    needs: ClassVar[str] = f"linear layers of the blocks ({', '.join(LINEAR)})"

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    roles: Roles = ("query", "value")
    rank_stabilised: bool = False

    def __post_init__(self) -> None:
        limits.between(1, limits.WIDEST, rank=self.rank)
        if not self.roles:
            raise UsageError(f"roles=[]: {type(self).__name__} needs at least one role, such as query.")
        limits.finite(alpha=self.alpha)
        limits.dropout(self.dropout)

    @property
    def scale(self) -> float:
        """s."""
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilised else self.rank)

    def inject(self, backbone: Backbone) -> None:
        """Add an update beside every site. Raises `UsageError` for a role the family lacks."""
        for name, match in self.named_sites(backbone):
            attach(match.module, name, self.delta(match))

    def delta(self, match: Match) -> LowRank:
        """The update of one site."""
        return LowRank(match.module, match.part, self.rank, self.scale, self.dropout)

    def parameters(self, backbone: Backbone) -> int:
        """r (inputs + outputs) a site."""
        return sum(self.rank * (inputs + outputs) for inputs, outputs in self.sizes(backbone))

    def merge(self, backbone: Backbone) -> None:
        """Fold every update into its weight and remove it: same outputs, no cost at inference."""
        for name, match in self.named_sites(backbone):
            delta = detach(match.module, name)
            assert isinstance(delta, LowRank)
            delta.fold(match.module)

    def named_sites(self, backbone: Backbone) -> list[tuple[str, Match]]:
        """(name of the delta, site) of every update; a fused projection may carry several."""
        roles = backbone.linear_roles if self.roles == "all" else self.roles
        return [(f"lora_{role}", match) for role in roles for match in backbone.sites(role)]

    def sizes(self, backbone: Backbone) -> list[tuple[int, int]]:
        """(inputs, outputs) of every site."""
        return [match.sizes for _, match in self.named_sites(backbone)]

"""LoRA: a low-rank update beside frozen linear layers (Hu et al. 2021, https://arxiv.org/abs/2106.09685).

    y = W x + s B A dropout(x)        A: (r, inputs), B: (outputs, r)

s = alpha / r, or alpha / sqrt r with rank-stabilised scaling (Kalajdzievski 2023, https://arxiv.org/abs/2312.03732),
which keeps the size of the update as r grows. A is Kaiming-uniform (a = sqrt 5), B zero: the adapted model starts as
the original one. Cost of one site: r (inputs + outputs). On a fused projection (GPT-2's c_attn, ModernBERT's Wqkv) a
role updates its slice of the output; the role "qkv" updates the whole. `merge` folds the update into W, after which
inference costs nothing more.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.backbones.sites import Match
from lm_lab.strategies import limits
from lm_lab.strategies.about import Group, Paper
from lm_lab.strategies.updates import LINEAR_LAYERS, Roles, SiteUpdates, Update, require_roles, role_sites


class LowRank(Update):
    """The update of one linear layer, or of a part of its output."""

    def __init__(self, match: Match, rank: int, scale: float, dropout: float) -> None:
        super().__init__(match)
        inputs, outputs = match.sizes
        self.down = nn.Parameter(torch.empty(rank, inputs))
        self.up = nn.Parameter(torch.zeros(outputs, rank))
        self.dropout = nn.Dropout(dropout)
        self.scale = scale
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def update(self, x: Tensor) -> Tensor:
        """s B A dropout(x); x (..., inputs) -> (..., width of the part)."""
        return F.linear(F.linear(self.dropout(x), self.down), self.up) * self.scale

    def after(self, module: nn.Module, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG002
        """x (..., inputs), y (..., outputs) -> (..., outputs)."""
        if self.part.size < self.outputs:
            return y + self.widen(self.update(x))
        inner = F.linear(self.dropout(x), self.down)
        # product, scale and sum in one kernel: what a whole layer needs beside its own product
        return torch.addmm(y.flatten(0, -2), inner.flatten(0, -2), self.up.T, alpha=self.scale).view_as(y)

    @torch.no_grad()
    def fold(self, linear: nn.Module) -> None:
        """Add the update to the weight of `linear`."""
        self.change(linear, lambda rows: rows + self.scale * self.up @ self.down)


@dataclass(frozen=True)
class LoRA(SiteUpdates):
    """Low-rank updates of the linear layers that play `roles`.

    Args:
        rank: r; one above a layer's widths is taken, as PEFT does, and can express no more.
        alpha: the update is scaled by alpha / r.
        dropout: on the input of the update.
        roles: sites to adapt; the paper's are query and value; "all" takes every linear layer of the blocks.
        rank_stabilised: scale by alpha / sqrt r instead.
        skip: lowest blocks that get no update, as AdapterDrop leaves out adapters.
    """

    group: ClassVar[Group] = "updates"
    paper: ClassVar[Paper] = Paper(
        "Hu et al.", 2021, "LoRA: Low-rank adaptation of large language models", "https://arxiv.org/abs/2106.09685"
    )
    learning_rate: ClassVar[float] = 5e-4
    learning_rates: ClassVar[tuple[float, ...]] = (2e-4, 5e-4, 2e-3)
    needs: ClassVar[str] = LINEAR_LAYERS

    may_differ: ClassVar[tuple[str, ...]] = ("rank", "alpha", "dropout", "rank_stabilised")

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    roles: Roles = ("query", "value")
    rank_stabilised: bool = False
    skip: int = 0

    def __post_init__(self) -> None:
        limits.between(1, limits.WIDEST, rank=self.rank)
        require_roles(self, self.roles)
        limits.finite(alpha=self.alpha)
        limits.dropout(self.dropout)

    @property
    def scale(self) -> float:
        """s."""
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilised else self.rank)

    def named_sites(self, backbone: Backbone) -> list[tuple[str, Match]]:
        """Those of the roles."""
        return role_sites(backbone, self.roles, "lora", self.skip)

    def updates(self, backbone: Backbone) -> Iterator[tuple[str, Match, LowRank]]:
        """A low-rank update of every site."""
        for name, match in self.named_sites(backbone):
            yield name, match, self.delta(match)

    def delta(self, match: Match) -> LowRank:
        """The update of one site."""
        return LowRank(match, self.rank, self.scale, self.dropout)

    def parameters(self, backbone: Backbone) -> int:
        """r (inputs + outputs) a site."""
        return sum(self.rank * (inputs + outputs) for inputs, outputs in self.sizes(backbone))

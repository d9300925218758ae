"""VeRA: a low-rank update of shared random matrices, of which two vectors train (Kopiczko et al. 2024,
https://arxiv.org/abs/2310.11454).

    y = W x + b * (B (d * (A dropout(x))))        A: (r, inputs), B: (outputs, r), d: (r,), b: (outputs,)

A and B are frozen, Kaiming-uniform, and the same for all sites of one shape. They follow from `seed`, so a delta holds
the vectors alone. d starts at 0.1 and b at zero: the adapted model starts as the original one. Cost of one site:
r + outputs, so a rank of hundreds is cheap to store. `merge` folds the update into W.
"""

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


class Projections(nn.Module):
    """A and B of all sites of one shape. With one shape in a model they are PEFT's, whose key is the seed."""

    down: Tensor
    up: Tensor

    def __init__(self, inputs: int, outputs: int, rank: int, seed: int, device: torch.device) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        for name, shape in (("down", (rank, inputs)), ("up", (outputs, rank))):
            matrix = torch.empty(shape, device="cpu")  # on every device the numbers of this one
            nn.init.kaiming_uniform_(matrix, generator=generator)
            self.register_buffer(name, matrix.to(device), persistent=False)


class VectorUpdate(Update):
    """The two vectors of one linear layer, or of a part of its output."""

    def __init__(self, match: Match, shared: Projections, initial: float, dropout: float) -> None:
        super().__init__(match)
        self.d = nn.Parameter(torch.full((len(shared.down),), initial))
        self.b = nn.Parameter(torch.zeros(len(shared.up)))
        self.shared = shared  # a child of many parents: one copy, moved and copied with each of them
        self.dropout = nn.Dropout(dropout)

    def after(self, module: nn.Module, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG002
        """x (..., inputs), y (..., outputs) -> (..., outputs)."""
        inner = self.d * F.linear(self.dropout(x), self.shared.down)
        return y + self.widen(self.b * F.linear(inner, self.shared.up))

    @torch.no_grad()
    def fold(self, linear: nn.Module) -> None:
        """Add the update to the weight of `linear`."""
        update = (self.b[:, None] * self.shared.up) @ (self.d[:, None] * self.shared.down)
        self.change(linear, lambda rows: rows + update)


@dataclass(frozen=True)
class VeRA(SiteUpdates):
    """Vectors that scale shared random low-rank updates of the linear layers that play `roles`.

    Args:
        rank: r.
        initial: where d starts.
        dropout: on the input of the update.
        roles: sites to adapt; "all" takes every linear layer of the blocks.
        seed: of A and B.
        skip: lowest blocks that get no update, as AdapterDrop leaves out adapters.
    """

    group: ClassVar[Group] = "updates"
    paper: ClassVar[Paper] = Paper(
        "Kopiczko et al.", 2024, "VeRA: Vector-based random matrix adaptation", "https://arxiv.org/abs/2310.11454"
    )
    learning_rate: ClassVar[float] = 5e-3
    learning_rates: ClassVar[tuple[float, ...]] = (2e-3, 5e-3, 2e-2)  # ten times LoRA's: our own choice
    needs: ClassVar[str] = LINEAR_LAYERS

    may_differ: ClassVar[tuple[str, ...]] = ("rank", "initial", "dropout", "seed")

    rank: int = 256
    initial: float = 0.1
    dropout: float = 0.0
    roles: Roles = ("query", "value")
    seed: int = 0
    skip: int = 0

    def __post_init__(self) -> None:
        limits.between(1, limits.WIDEST, rank=self.rank)
        limits.between(0, 2**64 - 1, seed=self.seed)
        limits.finite(initial=self.initial)
        limits.dropout(self.dropout)
        require_roles(self, self.roles)

    def named_sites(self, backbone: Backbone) -> list[tuple[str, Match]]:
        """Those of the roles."""
        return role_sites(backbone, self.roles, "vera", self.skip)

    def updates(self, backbone: Backbone) -> Iterator[tuple[str, Match, VectorUpdate]]:
        """The vectors of every site, over the matrices of its shape."""
        shared: dict[tuple[int, int], Projections] = {}
        for name, match in self.named_sites(backbone):
            if match.sizes not in shared:
                device = match.module.get_parameter("weight").device
                shared[match.sizes] = Projections(*match.sizes, self.rank, self.seed, device)
            yield name, match, VectorUpdate(match, shared[match.sizes], self.initial, self.dropout)

    def parameters(self, backbone: Backbone) -> int:
        """r + outputs a site."""
        return sum(self.rank + outputs for _, outputs in self.sizes(backbone))

"""Random mask: a random subset of the weights trains, as many as another method trains: the control for "any small
subset would do" (Ben Zaken et al. 2022, https://arxiv.org/abs/2106.10199, table 2; Xu & Zhang 2024,
https://arxiv.org/abs/2405.02596).

    W x  ->  (W + M) x        M: zero but for the n chosen entries of all linear layers, which start at zero

The choice depends on `seed` alone, so a delta stores the n values and no positions. `merge` adds M to W.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.backbones.sites import Match
from lm_lab.errors import UsageError
from lm_lab.strategies import limits
from lm_lab.strategies.about import Group, Paper
from lm_lab.strategies.base import AdaptationStrategy
from lm_lab.strategies.lora import LoRA
from lm_lab.strategies.updates import LINEAR_LAYERS, SiteUpdates, Update


class SparseUpdate(Update):
    """Trained entries of one weight; `positions` index it flattened as (outputs, inputs)."""

    positions: Tensor

    def __init__(self, match: Match, positions: Tensor) -> None:
        super().__init__(match)
        self.values = nn.Parameter(torch.zeros(len(positions)))
        self.register_buffer("positions", positions.to(self.values.device), persistent=False)

    def matrix(self) -> Tensor:
        """M as (outputs, inputs)."""
        flat = self.values.new_zeros(self.outputs * self.inputs).index_copy(0, self.positions, self.values)
        return flat.view(self.outputs, self.inputs)

    def after(self, module: nn.Module, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG002
        """x (..., inputs), y (..., outputs) -> (..., outputs)."""
        return y + F.linear(x, self.matrix())

    @torch.no_grad()
    def fold(self, linear: nn.Module) -> None:
        """Add M to the weight."""
        self.change(linear, lambda rows: rows + self.matrix())


@dataclass(frozen=True)
class RandomMask(SiteUpdates):
    """Train randomly chosen weights of the blocks' linear layers.

    Args:
        like: the strategy whose number of parameters is matched.
        seed: of the choice.
    """

    group: ClassVar[Group] = "chosen weights"
    paper: ClassVar[Paper] = Paper(
        "Xu & Zhang",
        2024,
        "Random masking finds winning tickets for parameter efficient fine-tuning",
        "https://arxiv.org/abs/2405.02596",
    )
    learning_rate: ClassVar[float] = 1e-3
    learning_rates: ClassVar[tuple[float, ...]] = (1e-3, 3e-3, 1e-2)
    needs: ClassVar[str] = LINEAR_LAYERS

    like: AdaptationStrategy = field(default_factory=LoRA)
    seed: int = 0

    def __post_init__(self) -> None:
        limits.between(0, 2**64 - 1, seed=self.seed)

    def named_sites(self, backbone: Backbone) -> list[tuple[str, Match]]:
        """Every linear layer of the blocks, whole."""
        return [("random_mask", match) for role in backbone.linear_roles for match in backbone.sites(role)]

    def updates(self, backbone: Backbone) -> Iterator[tuple[str, Match, SparseUpdate]]:
        """The weights, all chosen with the same probability; a layer of which none is chosen gets no update."""
        ends = np.cumsum([math.prod(sizes) for sizes in self.sizes(backbone)])
        # numpy draws a small sample of a huge range without listing the range
        random, count = np.random.default_rng(self.seed), self.parameters(backbone)
        chosen = np.sort(random.choice(int(ends[-1]), count, replace=False, shuffle=False))
        for (name, match), end in zip(self.named_sites(backbone), ends, strict=True):
            first = end - math.prod(match.sizes)
            own = chosen[np.searchsorted(chosen, first) : np.searchsorted(chosen, end)] - first
            if len(own):
                yield name, match, SparseUpdate(match, torch.from_numpy(own))

    def parameters(self, backbone: Backbone) -> int:
        """As many as `like` trains. Raises `UsageError` if the linear layers have fewer."""
        count = self.like.parameters(backbone)
        most = sum(math.prod(sizes) for sizes in self.sizes(backbone))
        if not most:  # refused by name
            return 0
        if not 0 < count <= most:
            raise UsageError(f"like: {type(self.like).__name__} trains {count} parameters; expected 1 to {most}.")
        return count

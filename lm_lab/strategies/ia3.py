"""IA3: learned rescaling of inner activations (Liu et al. 2022, https://arxiv.org/abs/2205.05638).

    k -> l_k * k        v -> l_v * v        FFN: W_2 (l_ff * f(W_1 x))

All scales start at 1: the adapted model starts as the original one. Cost a layer: d_k + d_v + d_ff. `merge` folds the
scales into the projections' rows (keys, values) and columns (the feed-forward's second layer).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.backbones.sites import Match
from lm_lab.strategies.about import Group, Paper
from lm_lab.strategies.updates import SiteUpdates, Update, role_sites

INNER = "ia3_mlp_out"  # scales what enters, the inner activations


class OutputScale(Update):
    """Rescales what leaves a linear layer, or a part of it."""

    def __init__(self, match: Match) -> None:
        super().__init__(match)
        self.scale = nn.Parameter(torch.ones(match.sizes[1]))

    def after(self, module: nn.Module, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG002
        """(..., outputs) -> (..., outputs)."""
        return y * self.factors()

    def factors(self) -> Tensor:
        """(outputs,): the scales, and ones around the part."""
        return self.widen(self.scale) + (1 - self.widen(torch.ones_like(self.scale)))

    @torch.no_grad()
    def fold(self, linear: nn.Module) -> None:
        """Scale rows of the weight, and the bias."""
        self.change(linear, lambda rows: rows * self.scale[:, None])
        if (bias := linear._parameters.get("bias")) is not None:
            bias.mul_(self.factors())


class InputScale(Update):
    """Rescales what enters a linear layer."""

    def __init__(self, match: Match) -> None:
        super().__init__(match)
        self.scale = nn.Parameter(torch.ones(self.inputs))

    def before(self, module: nn.Module, x: Tensor) -> Tensor:  # noqa: ARG002
        """(..., inputs) -> (..., inputs)."""
        return x * self.scale

    @torch.no_grad()
    def fold(self, linear: nn.Module) -> None:
        """Scale columns of the weight."""
        self.change(linear, lambda rows: rows * self.scale)


@dataclass(frozen=True)
class IA3(SiteUpdates):
    """Learned scales of keys, values and the feed-forward's inner activations."""

    group: ClassVar[Group] = "updates"
    paper: ClassVar[Paper] = Paper(
        "Liu et al.",
        2022,
        "Few-shot parameter-efficient fine-tuning is better and cheaper than in-context learning",
        "https://arxiv.org/abs/2205.05638",
    )
    learning_rate: ClassVar[float] = 3e-3
    learning_rates: ClassVar[tuple[float, ...]] = (3e-3, 1e-2, 3e-2)

    def named_sites(self, backbone: Backbone) -> list[tuple[str, Match]]:
        """Keys, values, and the feed-forward's second layer."""
        return role_sites(backbone, ("key", "value", "mlp_out"), "ia3")

    def updates(self, backbone: Backbone) -> Iterator[tuple[str, Match, Update]]:
        """Scales of what leaves, or of what enters."""
        for name, match in self.named_sites(backbone):
            yield name, match, InputScale(match) if name == INNER else OutputScale(match)

    def parameters(self, backbone: Backbone) -> int:
        """Widths of keys and values, and of the inner activations."""
        return sum(match.sizes[0 if name == INNER else 1] for name, match in self.named_sites(backbone))

"""IA3: learned rescaling of inner activations (Liu et al. 2022, https://arxiv.org/abs/2205.05638).

    k -> l_k * k        v -> l_v * v        FFN: W_2 (l_ff * f(W_1 x))

All scales start at 1: the adapted model starts as the original one. Cost a layer: d_k + d_v + d_ff. `merge` folds the
scales into the projections' rows (keys, values) and columns (the feed-forward's second layer).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.backbones.sites import Match, linear_sizes
from lm_lab.strategies.base import AdaptationStrategy, Delta, attach, detach
from lm_lab.strategies.lora import weight_rows


class OutputScale(Delta):
    """Rescales what leaves a linear layer, or the slice `part` of it."""

    def __init__(self, linear: nn.Module, part: slice | None) -> None:
        super().__init__()
        outputs = linear_sizes(linear)[1]
        self.part = part or slice(0, outputs)
        self.outputs = outputs
        self.scale = nn.Parameter(torch.ones(self.part.stop - self.part.start))

    def after(self, module: nn.Module, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG002
        """(..., outputs) -> (..., outputs)."""
        ones = self.scale.new_ones
        return y * torch.cat([ones(self.part.start), self.scale, ones(self.outputs - self.part.stop)])

    @torch.no_grad()
    def fold(self, linear: nn.Module) -> None:
        """Scale rows of the weight, and the bias."""
        weight_rows(linear)[self.part] *= self.scale[:, None]
        if (bias := linear._parameters.get("bias")) is not None:
            bias[self.part] *= self.scale


class InputScale(Delta):
    """Rescales what enters a linear layer."""

    def __init__(self, linear: nn.Module) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(linear_sizes(linear)[0]))

    def before(self, module: nn.Module, x: Tensor) -> Tensor:  # noqa: ARG002
        """(..., inputs) -> (..., inputs)."""
        return x * self.scale

    @torch.no_grad()
    def fold(self, linear: nn.Module) -> None:
        """Scale columns of the weight."""
        weight_rows(linear)[:] *= self.scale


@dataclass(frozen=True)
class IA3(AdaptationStrategy):
    """Learned scales of keys, values and the feed-forward's inner activations."""

    learning_rate: ClassVar[float] = 3e-3
    learning_rates: ClassVar[tuple[float, ...]] = (3e-3, 1e-2, 3e-2)
    merges: ClassVar[bool] = True

    def inject(self, backbone: Backbone) -> None:
        """Add the scales. Raises `UsageError` for a family without these sites."""
        for name, match in self._sites(backbone):
            inner = name == "ia3_mlp_out"
            attach(match.module, name, InputScale(match.module) if inner else OutputScale(match.module, match.part))

    def parameters(self, backbone: Backbone) -> int:
        """Widths of keys and values, and of the inner activations."""
        return sum(match.sizes[0 if name == "ia3_mlp_out" else 1] for name, match in self._sites(backbone))

    def merge(self, backbone: Backbone) -> None:
        """Fold every scale into its weight and remove it."""
        for name, match in self._sites(backbone):
            delta = detach(match.module, name)
            assert isinstance(delta, InputScale | OutputScale)
            delta.fold(match.module)

    def _sites(self, backbone: Backbone) -> list[tuple[str, Match]]:
        return [(f"ia3_{role}", match) for role in ("key", "value", "mlp_out") for match in backbone.sites(role)]

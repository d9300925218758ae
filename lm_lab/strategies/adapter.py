"""Adapters in series: small bottlenecks inside every block.

    y -> y + U f(D y + d) + u        D: (m, d), U: (d, m)

before the residual and its LayerNorm. Houlsby et al. 2019 (https://arxiv.org/abs/1902.00751): behind the attention's
and the feed-forward's projection, f = GELU, and every LayerNorm trains too. Pfeiffer et al. 2021
(https://arxiv.org/abs/2005.00247): behind the feed-forward alone, f = ReLU. Weights start from a truncated normal of
deviation 1e-3 (Houlsby's released code; the paper says 1e-2), so the adapted model starts next to the original one.
Cost of one bottleneck: 2 d m + d + m. Unlike LoRA's update it stays at inference.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.backbones.sites import Match
from lm_lab.errors import UsageError
from lm_lab.strategies.about import Group, Paper
from lm_lab.strategies.base import AdaptationStrategy, Delta, above, attach

INIT_STD = 1e-3
Activation = Literal["gelu", "relu", "silu", "tanh"]
ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "relu": F.relu,
    "silu": F.silu,
    "tanh": F.tanh,
}


class Bottleneck(Delta):
    """Down to `size`, a non-linearity, up again, added to the output."""

    def __init__(self, width: int, size: int, activation: Activation) -> None:
        super().__init__()
        self.down = nn.Linear(width, size)
        self.up = nn.Linear(size, width)
        self.activation = ACTIVATIONS[activation]
        for linear in (self.down, self.up):
            nn.init.trunc_normal_(linear.weight, std=INIT_STD, a=-2 * INIT_STD, b=2 * INIT_STD)
            nn.init.zeros_(linear.bias)

    def after(self, module: nn.Module, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG002
        """(b, t, d) -> (b, t, d)."""
        return y + self.up(self.activation(self.down(y)))


class SerialAdapter(AdaptationStrategy):
    """What Houlsby's and Pfeiffer's adapters share: a bottleneck behind each of `_places`."""

    start: ClassVar[float | None] = 1e-2  # near the identity, not at it
    learning_rate: ClassVar[float] = 1e-3
    learning_rates: ClassVar[tuple[float, ...]] = (3e-5, 3e-4, 3e-3)
    may_differ: ClassVar[tuple[str, ...]] = ("size", "activation")

    size: int
    activation: Activation
    skip: int

    @abstractmethod
    def _places(self, backbone: Backbone) -> list[Match]: ...

    def inject(self, backbone: Backbone) -> None:
        """Add a bottleneck at each place."""
        for match in above(backbone, self._places(backbone), self.skip):
            attach(match.module, "adapter", Bottleneck(backbone.residual_size, self.size, self.activation))

    def parameters(self, backbone: Backbone) -> int:
        """2 d m + d + m a bottleneck."""
        d, m = backbone.residual_size, self.size
        return len(above(backbone, self._places(backbone), self.skip)) * (2 * d * m + d + m)


@dataclass(frozen=True)
class HoulsbyAdapter(SerialAdapter):
    """Two bottlenecks a block and every LayerNorm.

    Args:
        size: width m of the bottleneck, 1 to 512.
        norms: train the norms too, as the paper does.
        activation: between down and up.
        skip: lowest blocks that get no adapter (AdapterDrop).
    """

    group: ClassVar[Group] = "adapters"
    paper: ClassVar[Paper] = Paper(
        "Houlsby et al.", 2019, "Parameter-efficient transfer learning for NLP", "https://arxiv.org/abs/1902.00751"
    )

    size: int = 64
    norms: bool = True
    activation: Activation = "gelu"
    skip: int = 0

    def __post_init__(self) -> None:
        require_size(self.size)

    def _places(self, backbone: Backbone) -> list[Match]:
        return [*backbone.sites("attn_residual"), *backbone.sites("mlp_residual")]

    def inject(self, backbone: Backbone) -> None:
        """Add the bottlenecks and unfreeze the norms."""
        super().inject(backbone)
        for match in backbone.sites("norm") if self.norms else []:
            match.module.requires_grad_(True)

    def parameters(self, backbone: Backbone) -> int:
        """2 d m + d + m a bottleneck, and the norms'."""
        norms = [p.numel() for match in backbone.sites("norm") for p in match.module.parameters()]
        return super().parameters(backbone) + (sum(norms) if self.norms else 0)


@dataclass(frozen=True)
class PfeifferAdapter(SerialAdapter):
    """One bottleneck a block, behind its feed-forward layer; norms stay frozen.

    Args:
        size: width m of the bottleneck, 1 to 512.
        activation: between down and up.
        skip: lowest blocks that get no adapter (AdapterDrop).
    """

    group: ClassVar[Group] = "adapters"
    paper: ClassVar[Paper] = Paper(
        "Pfeiffer et al.",
        2021,
        "AdapterFusion: Non-destructive task composition for transfer learning",
        "https://arxiv.org/abs/2005.00247",
    )

    size: int = 64
    activation: Activation = "relu"
    skip: int = 0

    def __post_init__(self) -> None:
        require_size(self.size)

    def _places(self, backbone: Backbone) -> list[Match]:
        return backbone.sites("mlp_residual")


def require_size(size: int) -> None:
    """Raise `UsageError` for a width that no bottleneck has."""
    if not 1 <= size <= 512:
        raise UsageError(f"size={size}: a bottleneck is 1 to 512 wide.")

"""Parallel adapter: a scaled bottleneck beside the feed-forward layer (He et al. 2022, https://arxiv.org/abs/2110.04366).

    h + FFN(x)  ->  h + FFN(x) + s (U relu(D x + d) + u)

x is what enters the feed-forward layer, so the two run side by side. D starts Kaiming-uniform (a = sqrt 5), U and the
biases at zero: the adapted model starts as the original one. s = 4 in the paper. Cost: 2 d m + d + m a block.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.strategies import limits
from lm_lab.strategies.about import Group, Paper
from lm_lab.strategies.adapter import ACTIVATIONS, Activation, require_size
from lm_lab.strategies.base import AdaptationStrategy, Delta, above, attach


class Tap(Delta):
    """Keeps what enters a module until `take`, for a delta elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Tensor] = []

    def before(self, module: nn.Module, x: Tensor) -> Tensor:  # noqa: ARG002
        """Keep x."""
        self.kept[:] = [x]
        return x

    def take(self) -> Tensor:
        """Give what was kept, once: nothing of a forward pass stays behind to be copied or pickled."""
        return self.kept.pop()


class ParallelBottleneck(Delta):
    """Adds the bottleneck of the tapped input to the output."""

    def __init__(self, tap: Tap, width: int, size: int, scale: float, activation: Activation) -> None:
        super().__init__()
        self.tap = (tap,)  # in a tuple: the tap is a child of the module it listens to, not of this one
        self.down, self.up = nn.Linear(width, size), nn.Linear(size, width)
        self.scale, self.activation = scale, ACTIVATIONS[activation]
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        for parameter in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(parameter)

    def reads(self, x: Tensor) -> Tensor:  # noqa: ARG002
        """What entered the tapped module."""
        return self.tap[0].take()

    def after(self, module: nn.Module, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG002
        """(b, t, d) -> (b, t, d)."""
        return y + self.scale * self.up(self.activation(self.down(x)))


@dataclass(frozen=True)
class ParallelAdapter(AdaptationStrategy):
    """A scaled bottleneck beside every feed-forward layer.

    Args:
        size: width m of the bottleneck, 1 to 512.
        scale: s.
        activation: between down and up.
        skip: lowest blocks that get no adapter (AdapterDrop).
    """

    group: ClassVar[Group] = "adapters"
    paper: ClassVar[Paper] = Paper(
        "He et al.",
        2022,
        "Towards a unified view of parameter-efficient transfer learning",
        "https://arxiv.org/abs/2110.04366",
    )
    learning_rate: ClassVar[float] = 1e-3
    learning_rates: ClassVar[tuple[float, ...]] = (3e-4, 1e-3, 3e-3)
    may_differ: ClassVar[tuple[str, ...]] = ("size", "scale", "activation")

    size: int = 64
    scale: float = 4.0
    activation: Activation = "relu"
    skip: int = 0

    def __post_init__(self) -> None:
        require_size(self.size)
        limits.finite(scale=self.scale)

    def inject(self, backbone: Backbone) -> None:
        """Tap the input of each feed-forward layer and add to its output."""
        inputs = above(backbone, backbone.sites("mlp_in"), self.skip)
        outputs = above(backbone, backbone.sites("mlp_residual"), self.skip)
        for before, after in zip(inputs, outputs, strict=True):
            tap = Tap()
            attach(before.module, "parallel_tap", tap)
            bottleneck = ParallelBottleneck(tap, backbone.residual_size, self.size, self.scale, self.activation)
            attach(after.module, "parallel_adapter", bottleneck)

    def parameters(self, backbone: Backbone) -> int:
        """2 d m + d + m a block."""
        d, m = backbone.residual_size, self.size
        return len(above(backbone, backbone.sites("mlp_in"), self.skip)) * (2 * d * m + d + m)

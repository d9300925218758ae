"""Combination: several strategies on one backbone, such as prefix and parallel adapter (MAM, He et al. 2022,
https://arxiv.org/abs/2110.04366) or LoRA and BitFit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from torch import nn

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.heads.mix import ScalarMix
from lm_lab.heads.task_model import TaskModel
from lm_lab.strategies.about import Group, Paper
from lm_lab.strategies.base import AdaptationStrategy


@dataclass(frozen=True)
class Combination(AdaptationStrategy):
    """Strategies applied one after another; the last one says how the backbone is read.

    Args:
        strategies: two or more; each must train other weights than the others.
    """

    group: ClassVar[Group] = "compounds"
    paper: ClassVar[Paper] = Paper(
        "He et al.",
        2022,
        "Towards a unified view of parameter-efficient transfer learning",
        "https://arxiv.org/abs/2110.04366",
    )
    learning_rate: ClassVar[float] = 1e-3
    learning_rates: ClassVar[tuple[float, ...]] = (3e-4, 1e-3, 3e-3)

    strategies: Sequence[AdaptationStrategy]

    def __post_init__(self) -> None:
        if len(self.strategies) < 2:
            raise UsageError(f"strategies: {len(self.strategies)} given; a combination needs two or more.")

    @property
    def start(self) -> float | None:  # type: ignore[override]
        """The sum of what the parts allow themselves; None if one promises nothing."""
        parts = [strategy.start for strategy in self.strategies]
        return None if None in parts else sum(part or 0.0 for part in parts)

    @property
    def merges(self) -> bool:  # type: ignore[override]
        """True if every part does."""
        return all(strategy.merges for strategy in self.strategies)

    @property
    def last(self) -> AdaptationStrategy:
        """The strategy that reads."""
        return self.strategies[-1]

    def require_work(self, backbone: Backbone) -> None:
        """Every part has its own."""
        for strategy in self.strategies:
            strategy.require_work(backbone)

    def inject(self, backbone: Backbone) -> None:
        """Let each strategy add its delta. Raises `UsageError` if two train the same weights."""
        expected = self.parameters(backbone)
        for strategy in self.strategies:
            strategy.inject(backbone)
        if sum(p.numel() for p in backbone.parameters() if p.requires_grad) != expected:
            names = ", ".join(type(strategy).__name__ for strategy in self.strategies)
            raise UsageError(
                f"two of {names} train the same weights; leave one out, or let it train less "
                "(HoulsbyAdapter with norms=false leaves the norms to others)."
            )

    def parameters(self, backbone: Backbone) -> int:
        """The sum."""
        return sum(strategy.parameters(backbone) for strategy in self.strategies)

    def merge(self, backbone: Backbone) -> None:
        """Merge every part. Raises `UsageError`, with nothing merged, where one part cannot: such parts come first."""
        for strategy in sorted(self.strategies, key=lambda strategy: strategy.merges):
            strategy.merge(backbone)

    def finish(self, backbone: Backbone) -> "Combination":
        """Finish every part."""
        return replace(self, strategies=tuple(strategy.finish(backbone) for strategy in self.strategies))

    def given_labels(self, labels: Sequence[str]) -> Self:
        """Tell every part."""
        return replace(self, strategies=tuple(strategy.given_labels(labels) for strategy in self.strategies))

    def on_epoch(self, backbone: Backbone, epoch: int) -> None:
        """Tell every part."""
        for strategy in self.strategies:
            strategy.on_epoch(backbone, epoch)

    def rate_scale(self, backbone: Backbone, name: str) -> float:
        """The product over the parts."""
        scale = 1.0
        for strategy in self.strategies:
            scale *= strategy.rate_scale(backbone, name)
        return scale

    def layers(self, backbone: Backbone) -> tuple[int, ...]:
        """As the last part reads."""
        return self.last.layers(backbone)

    def mix(self, backbone: Backbone) -> ScalarMix | None:
        """As the last part mixes."""
        return self.last.mix(backbone)

    def beside(self, backbone: Backbone) -> TaskModel | None:
        """The last part's."""
        return self.last.beside(backbone)

    def head(self, inputs: int, outputs: int) -> nn.Module:
        """The last part's."""
        return self.last.head(inputs, outputs)

"""Gradual unfreezing: from the top block downwards, a few more each epoch (Howard & Ruder 2018, ULMFiT,
https://arxiv.org/abs/1801.06146).

    epoch e trains the head and the top `blocks` (e + 1) blocks; the embeddings join once every block trains
"""

from dataclasses import dataclass
from typing import ClassVar

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.strategies import layer_decay
from lm_lab.strategies.about import Group, Paper
from lm_lab.strategies.base import AdaptationStrategy


@dataclass(frozen=True)
class GradualUnfreezing(AdaptationStrategy):
    """Full fine-tuning that reaches the lower blocks later.

    Args:
        blocks: how many more blocks train with each epoch.
        layer_decay: each block's learning rate is this times that of the block above it; ULMFiT's is 1 / 2.6.
    """

    group: ClassVar[Group] = "fine-tuning"
    paper: ClassVar[Paper] = Paper(
        "Howard & Ruder",
        2018,
        "Universal language model fine-tuning for text classification",
        "https://arxiv.org/abs/1801.06146",
    )
    learning_rate: ClassVar[float] = 5e-5
    learning_rates: ClassVar[tuple[float, ...]] = (2e-5, 5e-5, 1e-4)

    blocks: int = 1
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        layer_decay.require(self.layer_decay)
        if self.blocks < 1:
            raise UsageError(f"blocks={self.blocks}: at least one more block must train with each epoch.")

    def inject(self, backbone: Backbone) -> None:
        """Unfreeze all, for the optimiser to know it; `on_epoch` holds back what is not due."""
        if backbone.shared_layers:
            raise UsageError(f"{backbone.kind} shares one block between all layers: nothing is gradual.")
        backbone.requires_grad_(True)

    def parameters(self, backbone: Backbone) -> int:
        """All of them, in the end."""
        return sum(parameter.numel() for parameter in backbone.parameters())

    def on_epoch(self, backbone: Backbone, epoch: int) -> None:
        """Freeze what is not due yet."""
        lowest = backbone.num_layers - self.blocks * (epoch + 1) + 1
        for name, parameter in backbone.named_parameters():
            parameter.requires_grad_(lowest < 1 or backbone.depth(name) >= lowest)
            if not parameter.requires_grad:
                parameter.grad = None

    def rate_scale(self, backbone: Backbone, name: str) -> float:
        """decay to the power of the blocks above."""
        return layer_decay.scale(backbone, name, self.layer_decay)

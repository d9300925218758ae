"""Full fine-tuning: every parameter of the backbone trains (Devlin et al. 2019, https://arxiv.org/abs/1810.04805)."""

from dataclasses import dataclass
from typing import ClassVar

from lm_lab.backbones import Backbone
from lm_lab.strategies import layer_decay
from lm_lab.strategies.about import Group, Paper
from lm_lab.strategies.base import AdaptationStrategy


@dataclass(frozen=True)
class FullFineTuning(AdaptationStrategy):
    """Train everything. The reference line of every comparison, and the dearest to store: one model a task.

    Args:
        layer_decay: each block's learning rate is this times that of the block above it; 1 for the same everywhere.
    """

    group: ClassVar[Group] = "fine-tuning"
    paper: ClassVar[Paper] = Paper(
        "Devlin et al.",
        2019,
        "BERT: Pre-training of deep bidirectional transformers for language understanding",
        "https://arxiv.org/abs/1810.04805",
    )
    learning_rate: ClassVar[float] = 5e-5
    learning_rates: ClassVar[tuple[float, ...]] = (2e-5, 5e-5, 1e-4)

    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        layer_decay.require(self.layer_decay)

    def inject(self, backbone: Backbone) -> None:
        """Unfreeze the whole backbone."""
        layer_decay.require_layers(backbone, self.layer_decay)
        backbone.requires_grad_(True)

    def parameters(self, backbone: Backbone) -> int:
        """All of them."""
        return sum(parameter.numel() for parameter in backbone.parameters())

    def rate_scale(self, backbone: Backbone, name: str) -> float:
        """decay to the power of the blocks above."""
        return layer_decay.scale(backbone, name, self.layer_decay)

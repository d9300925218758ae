"""Full fine-tuning: every parameter of the backbone trains (Devlin et al. 2019, https://arxiv.org/abs/1810.04805)."""

from dataclasses import dataclass
from typing import ClassVar

from lm_lab.backbones import Backbone
from lm_lab.strategies.base import AdaptationStrategy


@dataclass(frozen=True)
class FullFineTuning(AdaptationStrategy):
    """Train everything. The reference line of every comparison, and the dearest to store: one model a task."""

    learning_rate: ClassVar[float] = 5e-5
    learning_rates: ClassVar[tuple[float, ...]] = (2e-5, 5e-5, 1e-4)

    def inject(self, backbone: Backbone) -> None:
        """Unfreeze the whole backbone."""
        backbone.requires_grad_(True)

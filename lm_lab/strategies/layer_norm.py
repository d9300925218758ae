"""LayerNorm tuning: only the norms train (Houlsby et al. 2019 compare with it; Zhao et al. 2024,
https://arxiv.org/abs/2312.11420).

y = g (x - mean) / std + b        with g and b of every norm trained
"""

from dataclasses import dataclass
from typing import ClassVar

from lm_lab.backbones import Backbone
from lm_lab.strategies.about import Group, Paper
from lm_lab.strategies.base import AdaptationStrategy


@dataclass(frozen=True)
class LayerNormTuning(AdaptationStrategy):
    """Train every LayerNorm or RMSNorm, the embedding's included."""

    group: ClassVar[Group] = "chosen weights"
    paper: ClassVar[Paper] = Paper(
        "Zhao et al.",
        2024,
        "Tuning LayerNorm in attention: Towards efficient multi-modal LLM finetuning",
        "https://arxiv.org/abs/2312.11420",
    )
    learning_rate: ClassVar[float] = 1e-3
    learning_rates: ClassVar[tuple[float, ...]] = (1e-3, 3e-3, 1e-2)
    needs: ClassVar[str] = "norms with weights (norm)"

    def inject(self, backbone: Backbone) -> None:
        """Unfreeze every norm."""
        for match in backbone.sites("norm"):
            match.module.requires_grad_(True)

    def parameters(self, backbone: Backbone) -> int:
        """2 d a LayerNorm, d an RMSNorm."""
        return sum(p.numel() for match in backbone.sites("norm") for p in match.module.parameters())

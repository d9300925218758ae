"""Weighted features: a learned mix of all layers (Peters et al. 2018, ELMo, https://arxiv.org/abs/1802.05365).

    x = gamma * sum_j softmax(w)_j pool(h_j)        j = 0 (embeddings) .. L

w = 0 and gamma = 1 at the start; both train with the head and count as the head's. For cls, mean and last pooling
mixing pooled vectors is the same as pooling mixed tokens; with max pooling each layer is pooled first.
"""

from dataclasses import dataclass
from typing import ClassVar

from lm_lab.backbones import Backbone
from lm_lab.heads.mix import ScalarMix
from lm_lab.strategies.about import Group, Paper
from lm_lab.strategies.base import AdaptationStrategy


@dataclass(frozen=True)
class WeightedFeatures(AdaptationStrategy):
    """Read a mix of all hidden states.

    Args:
        norm: normalise each hidden state before it is mixed.
        frozen: leave the backbone as it is; False trains all of it too.
    """

    group: ClassVar[Group] = "features"
    paper: ClassVar[Paper] = Paper(
        "Peters et al.", 2018, "Deep contextualized word representations", "https://arxiv.org/abs/1802.05365"
    )
    learning_rate: ClassVar[float] = 1e-3
    learning_rates: ClassVar[tuple[float, ...]] = (1e-3, 3e-3, 1e-2)

    norm: bool = False
    frozen: bool = True

    @property
    def head_alone(self) -> bool:  # type: ignore[override]
        """True for a frozen backbone."""
        return self.frozen

    def inject(self, backbone: Backbone) -> None:
        """Unfreeze the backbone if asked."""
        backbone.requires_grad_(not self.frozen)

    def parameters(self, backbone: Backbone) -> int:
        """None, or all of them."""
        return 0 if self.frozen else sum(parameter.numel() for parameter in backbone.parameters())

    def layers(self, backbone: Backbone) -> tuple[int, ...]:
        """All hidden states."""
        return tuple(range(backbone.num_layers + 1))

    def mix(self, backbone: Backbone) -> ScalarMix:
        """A weight for every hidden state."""
        return ScalarMix(backbone.num_layers + 1, self.norm)

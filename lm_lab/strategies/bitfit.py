"""BitFit: only the biases train (Ben Zaken et al. 2022, https://arxiv.org/abs/2106.10199).

y = W x + b        with b trained and W frozen, in every linear layer and LayerNorm
"""

import re
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from lm_lab.backbones import Backbone
from lm_lab.strategies.about import Group, Paper
from lm_lab.strategies.base import AdaptationStrategy

_BIAS = re.compile(r"bias(_ih|_hh|$)")  # torch's LSTM has two of each layer


@dataclass(frozen=True)
class BitFit(AdaptationStrategy):
    """Train every bias of the backbone, those of the norms included."""

    group: ClassVar[Group] = "chosen weights"
    paper: ClassVar[Paper] = Paper(
        "Ben Zaken et al.",
        2022,
        "BitFit: Simple parameter-efficient fine-tuning for transformer-based masked language-models",
        "https://arxiv.org/abs/2106.10199",
    )
    learning_rate: ClassVar[float] = 1e-3
    learning_rates: ClassVar[tuple[float, ...]] = (4e-4, 1e-3, 4e-3)
    needs: ClassVar[str] = "biases"

    def inject(self, backbone: Backbone) -> None:
        """Unfreeze every bias."""
        for bias in self._biases(backbone):
            bias.requires_grad_(True)

    def parameters(self, backbone: Backbone) -> int:
        """The number of biases."""
        return sum(bias.numel() for bias in self._biases(backbone))

    def _biases(self, backbone: Backbone) -> list[nn.Parameter]:
        named = (item for module in backbone.modules() for item in module._parameters.items())
        return [value for name, value in named if value is not None and _BIAS.match(name)]

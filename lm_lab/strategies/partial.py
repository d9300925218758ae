"""Partial fine-tuning: the top k blocks train (Houlsby et al. 2019 compare with it, https://arxiv.org/abs/1902.00751).

Re-initialising the top n blocks before training follows Zhang et al. 2021 (https://arxiv.org/abs/2006.05987):
weights from N(0, 0.02^2), biases 0, norms the identity. Below the lowest trained block no backward pass is needed.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.strategies import layer_decay
from lm_lab.strategies.about import Group, Paper
from lm_lab.strategies.base import AdaptationStrategy


@dataclass(frozen=True)
class PartialFineTuning(AdaptationStrategy):
    """Train the top `blocks` blocks, the norm after them, and the embeddings if asked.

    Args:
        blocks: k, from 0 (the head alone) to L; -k freezes the lowest k and trains the rest.
        embeddings: train the embeddings too; k = L with embeddings is full fine-tuning.
        reinitialise: n top blocks to start from random weights, at most k.
        layer_decay: each block's learning rate is this times that of the block above it.
    """

    group: ClassVar[Group] = "fine-tuning"
    paper: ClassVar[Paper] = Paper(
        "Houlsby et al.", 2019, "Parameter-efficient transfer learning for NLP", "https://arxiv.org/abs/1902.00751"
    )
    learning_rate: ClassVar[float] = 1e-4
    learning_rates: ClassVar[tuple[float, ...]] = (5e-5, 1e-4, 3e-4)

    blocks: int = 1
    embeddings: bool = False
    reinitialise: int = 0
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        layer_decay.require(self.layer_decay)

    @property
    def head_alone(self) -> bool:  # type: ignore[override]
        """True for no block."""
        return self.blocks == 0

    def inject(self, backbone: Backbone) -> None:
        """Unfreeze the top blocks. Raises `UsageError` for a k or n that the backbone has not."""
        layer_decay.require_layers(backbone, self.layer_decay)
        for module in self._trained(backbone):
            module.requires_grad_(True)
        top = self._top(backbone)
        for block in top[len(top) - self.reinitialise :]:
            reinitialise(block, backbone.initial_scale)

    def parameters(self, backbone: Backbone) -> int:
        """Those of the blocks, of the norm behind them and, if asked, of the embeddings."""
        trained = {id(p): p.numel() for module in self._trained(backbone) for p in module.parameters()}
        return sum(trained.values())

    def rate_scale(self, backbone: Backbone, name: str) -> float:
        """decay to the power of the blocks above."""
        return layer_decay.scale(backbone, name, self.layer_decay)

    def _trained(self, backbone: Backbone) -> list[nn.Module]:
        blocks = self._top(backbone)
        roles = (["embeddings"] if self.embeddings else []) + (
            ["final_norm"] if blocks and backbone.has("final_norm") else []
        )
        return [*blocks, *(match.module for role in roles for match in backbone.sites(role))]

    def _top(self, backbone: Backbone) -> list[nn.Module]:
        layers, kind = backbone.num_layers, backbone.kind
        if not -layers <= self.blocks <= layers:
            raise UsageError(f"blocks={self.blocks}: this backbone has {layers} blocks; give 0 to {layers}.")
        count = self.blocks if self.blocks >= 0 else layers + self.blocks
        if not 0 <= self.reinitialise <= count:
            raise UsageError(
                f"reinitialise={self.reinitialise}: only trained blocks may start from random weights; "
                f"give 0 to {count}, the blocks that train."
            )
        for name, number in (("blocks", count), ("reinitialise", self.reinitialise)):
            if backbone.shared_layers and number not in (0, layers):
                raise UsageError(
                    f"{name}={number}: {kind} shares one block between all {layers} layers; "
                    f"only 0 and {layers} make sense."
                )
        blocks = [match.module for match in backbone.sites("block")]
        return blocks[-count:] if count else []


def reinitialise(block: nn.Module, std: float) -> None:
    """Give every layer of `block` the weights of a fresh model: N(0, std^2), zero biases, identity norms."""
    for module in block.modules():
        weight, bias = (module._parameters.get(name) for name in ("weight", "bias"))
        if weight is not None and weight.dim() == 1:
            nn.init.ones_(weight)
        elif weight is not None:
            nn.init.normal_(weight, std=std)
        if bias is not None:
            nn.init.zeros_(bias)

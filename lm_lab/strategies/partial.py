"""Partial fine-tuning: the top k blocks train (Houlsby et al. 2019 compare with it, https://arxiv.org/abs/1902.00751).

Re-initialising the top n blocks before training follows Zhang et al. 2021 (https://arxiv.org/abs/2006.05987):
weights from N(0, 0.02^2), biases 0, norms the identity. Below the lowest trained block no backward pass is needed.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.strategies.base import AdaptationStrategy


@dataclass(frozen=True)
class PartialFineTuning(AdaptationStrategy):
    """Train the top `blocks` blocks, the norm after them, and the embeddings if asked.

    Args:
        blocks: k, from 0 (the head alone) to L.
        embeddings: train the embeddings too; k = L with embeddings is full fine-tuning.
        reinitialise: n top blocks to start from random weights, at most k.
    """

    learning_rate: ClassVar[float] = 1e-4
    learning_rates: ClassVar[tuple[float, ...]] = (5e-5, 1e-4, 3e-4)

    blocks: int = 1
    embeddings: bool = False
    reinitialise: int = 0

    def inject(self, backbone: Backbone) -> None:
        """Unfreeze the top blocks. Raises `UsageError` for a k or n that the backbone has not."""
        top = self._top(backbone)
        for module in top:
            module.requires_grad_(True)
        for match in backbone.sites("embeddings") if self.embeddings else []:
            match.module.requires_grad_(True)
        if self.blocks and backbone.has("final_norm"):
            for match in backbone.sites("final_norm"):
                match.module.requires_grad_(True)
        for block in top[len(top) - self.reinitialise :]:
            reinitialise(block, getattr(backbone.config, "initializer_range", 0.02))

    def _top(self, backbone: Backbone) -> list[nn.Module]:
        layers = backbone.num_layers
        if not 0 <= self.blocks <= layers:
            raise UsageError(f"blocks={self.blocks}: this backbone has {layers} blocks; give 0 to {layers}.")
        if not 0 <= self.reinitialise <= self.blocks:
            raise UsageError(
                f"reinitialise={self.reinitialise}: only trained blocks may start from random weights; "
                f"give 0 to blocks={self.blocks}."
            )
        blocks = [match.module for match in backbone.sites("block")]
        if backbone.family.shared_layers and self.blocks not in (0, layers):
            raise UsageError(
                f"blocks={self.blocks}: {backbone.config.model_type} shares one block between all {layers} layers; "
                f"only 0 and {layers} make sense."
            )
        if backbone.family.shared_layers and self.reinitialise not in (0, layers):
            raise UsageError(f"reinitialise={self.reinitialise}: the layers share one block; only 0 and {layers}.")
        return [] if self.blocks == 0 else blocks[-self.blocks :]


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

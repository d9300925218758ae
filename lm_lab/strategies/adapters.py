"""Adapters: small bottlenecks inside every block (Houlsby et al. 2019, https://arxiv.org/abs/1902.00751).

    y -> y + U gelu(D y + d) + u        D: (m, d), U: (d, m)

after the attention's and the feed-forward's projection, before the residual and its LayerNorm. Every LayerNorm
trains too. Weights start from a truncated normal of deviation 1e-3 (the released code; the paper says 1e-2), so
the adapted model starts next to the original one. Cost of one bottleneck: 2 d m + d + m.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.strategies.base import AdaptationStrategy, Delta, attach

INIT_STD = 1e-3


class Bottleneck(Delta):
    """Down to `size`, GELU, up again, added to the input; near the identity at the start."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, size)
        self.up = nn.Linear(size, width)
        for linear in (self.down, self.up):
            nn.init.trunc_normal_(linear.weight, std=INIT_STD, a=-2 * INIT_STD, b=2 * INIT_STD)
            nn.init.zeros_(linear.bias)

    def after(self, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG002
        """(b, t, d) -> (b, t, d)."""
        return y + self.up(F.gelu(self.down(y)))


@dataclass(frozen=True)
class HoulsbyAdapter(AdaptationStrategy):
    """Two bottlenecks a block and every LayerNorm.

    Args:
        size: width m of the bottleneck, 1 to 512.
        norms: train the norms too, as the paper does.
    """

    learning_rate: ClassVar[float] = 1e-3
    learning_rates: ClassVar[tuple[float, ...]] = (3e-5, 3e-4, 3e-3)

    size: int = 64
    norms: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.size <= 512:
            raise UsageError(f"size={self.size}: a bottleneck is 1 to 512 wide.")

    def inject(self, backbone: Backbone) -> None:
        """Add a bottleneck behind each sublayer."""
        for role in ("attn_residual", "mlp_residual"):
            for match in backbone.sites(role):
                attach(match.module, "adapter", Bottleneck(backbone.hidden_size, self.size))
        for match in backbone.sites("norm") if self.norms else []:
            match.module.requires_grad_(True)

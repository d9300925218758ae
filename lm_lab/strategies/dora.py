"""DoRA: direction by a low-rank update, magnitude by a learned length a row (Liu et al. 2024,
https://arxiv.org/abs/2402.09353).

    V = W + s B A        y = (m / ||V||) * (V x) + b        m: (outputs,), norms over the inputs of each row

m starts as ||W||, B at zero: the adapted model starts as the original one. The norm is a constant to the gradient
(section 4.3 of the paper). Cost of one site: r (inputs + outputs) + outputs. Training costs more than LoRA's: B A is
formed for the norm.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.backbones.sites import Match
from lm_lab.strategies.about import Group, Paper
from lm_lab.strategies.lora import LoRA, LowRank


class Decomposed(LowRank):
    """A low-rank update whose rows keep a learned length."""

    def __init__(self, match: Match, rank: int, scale: float, dropout: float) -> None:
        super().__init__(match, rank, scale, dropout)
        self.magnitude = nn.Parameter(self.rows(match.module).detach().norm(dim=1))

    def after(self, module: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """x (..., inputs), y (..., outputs) -> (..., outputs)."""
        ratio = self._ratio(module)
        bias = module._parameters.get("bias")
        own = self.part.take(y if bias is None else y - bias)  # W x
        return y + self.widen((ratio - 1) * own + ratio * self.update(x))

    @torch.no_grad()
    def fold(self, linear: nn.Module) -> None:
        """Replace the weight of `linear` by the adapted one."""
        ratio = self._ratio(linear)
        self.change(linear, lambda rows: (rows + self.scale * self.up @ self.down) * ratio[:, None])

    def _ratio(self, linear: nn.Module) -> Tensor:
        with torch.no_grad():
            norm = (self.rows(linear) + self.scale * self.up @ self.down).norm(dim=1)
        return self.magnitude / norm


@dataclass(frozen=True)
class DoRA(LoRA):
    """Low-rank updates with a learned magnitude a row. Settings as in `LoRA`."""

    group: ClassVar[Group] = "updates"
    paper: ClassVar[Paper] = Paper(
        "Liu et al.", 2024, "DoRA: Weight-decomposed low-rank adaptation", "https://arxiv.org/abs/2402.09353"
    )
    learning_rates: ClassVar[tuple[float, ...]] = (2e-4, 5e-4, 2e-3)

    def delta(self, match: Match) -> LowRank:
        """A low-rank update with lengths, of one site."""
        return Decomposed(match, self.rank, self.scale, self.dropout)

    def parameters(self, backbone: Backbone) -> int:
        """r (inputs + outputs) + outputs a site."""
        return super().parameters(backbone) + sum(outputs for _, outputs in self.sizes(backbone))

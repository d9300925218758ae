"""Probes: what a frozen backbone's features already hold (Alain & Bengio 2016, https://arxiv.org/abs/1610.01644).

    score = W standardise(pool(h_l)) + b            linear probe of layer l
    score = W relu(V standardise(pool(h_l)) + c) + b    MLP probe

The backbone is frozen and in eval mode. Features are standardised with statistics of the training set alone.
The pooling is the adaptation's own parameter, so a probe and a fine-tuned model can be read the same way.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.heads.scorers import ProbeHead
from lm_lab.strategies import limits
from lm_lab.strategies.about import Group, Paper
from lm_lab.strategies.base import AdaptationStrategy


@dataclass(frozen=True)
class LinearProbe(AdaptationStrategy):
    """One linear layer on the pooled features of one layer.

    Args:
        at_layer: 0 for the embeddings, L for the last block; negative counts from the end.
        penalty: fit to convergence, with this penalty on the squared weights, in place of steps: logistic regression by
            L-BFGS, ridge regression for graded scores; None: the steps of every strategy.
    """

    group: ClassVar[Group] = "features"
    paper: ClassVar[Paper] = Paper(
        "Alain & Bengio",
        2016,
        "Understanding intermediate layers using linear classifier probes",
        "https://arxiv.org/abs/1610.01644",
    )
    learning_rate: ClassVar[float] = 1e-3
    learning_rates: ClassVar[tuple[float, ...]] = (1e-4, 1e-3, 1e-2)
    head_alone: ClassVar[bool] = True

    at_layer: int = -1
    penalty: float | None = None

    def __post_init__(self) -> None:
        if self.penalty is not None and not 0 < self.penalty < math.inf:
            raise UsageError(f"penalty={self.penalty:g}: expected a number above 0, such as 1e-2, or none.")

    def inject(self, backbone: Backbone) -> None:
        """Leave everything frozen."""
        self.layers(backbone)

    def parameters(self, backbone: Backbone) -> int:  # noqa: ARG002
        """None."""
        return 0

    def layers(self, backbone: Backbone) -> tuple[int, ...]:
        """The probed layer as a number from 0 to L. Raises `UsageError` outside of that."""
        states = backbone.num_layers + 1
        if not -states <= self.at_layer < states:
            raise UsageError(
                f"at_layer={self.at_layer}: this backbone has hidden states 0 (embeddings) to {backbone.num_layers}."
            )
        return (self.at_layer % states,)

    def head(self, inputs: int, outputs: int) -> nn.Module:
        """Standardise, then one linear layer."""
        return ProbeHead(inputs, outputs)


@dataclass(frozen=True)
class MLPProbe(LinearProbe):
    """One hidden layer between features and scores; what it gains over the linear probe was there, but not linearly.

    Args:
        at_layer: as in `LinearProbe`.
        penalty: None; a hidden layer has no single converged answer.
        hidden: width of the hidden layer.
        dropout: on the hidden layer.
    """

    hidden: int = 128
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.penalty is not None:
            raise UsageError(f"penalty={self.penalty:g}: a probe with a hidden layer trains in steps; use LinearProbe.")
        if self.hidden < 1:
            raise UsageError(
                f"hidden={self.hidden}: an MLP probe needs at least one hidden unit; use LinearProbe for 0."
            )
        limits.between(1, limits.WIDEST, hidden=self.hidden)
        limits.dropout(self.dropout)

    def head(self, inputs: int, outputs: int) -> nn.Module:
        """Standardise, a ReLU layer, a linear layer."""
        return ProbeHead(inputs, outputs, self.hidden, self.dropout)

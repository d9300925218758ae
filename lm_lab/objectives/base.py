"""What every pretraining objective is: a module with its own heads that turns a batch into a named loss."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from lm_lab.backbones import Backbone


@dataclass(frozen=True)
class Loss:
    """The loss of one batch.

    Attributes:
        total: scalar to minimise.
        parts: scalar losses by name, before any weighting; an objective with one term has one part.
        metrics: scalars to watch, without gradient, such as the accuracy on predicted positions.
    """

    total: Tensor
    parts: dict[str, Tensor]
    metrics: dict[str, Tensor] = field(default_factory=dict)


class Objective(nn.Module, ABC):
    """Corrupts a batch, runs the backbone on it and says how wrong the predictions are.

    An objective owns the heads it needs; the backbone stays outside, so that it is saved without them.
    """

    @abstractmethod
    def forward(self, backbone: Backbone, batch: Mapping[str, Tensor]) -> Loss:
        """Return the loss of a batch: `input_ids`, `attention_mask`, perhaps `token_type_ids`, each (b, t)."""

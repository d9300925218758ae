"""What every pretraining objective is: a module with its own heads that turns a batch into a named loss."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor, nn

from lm_lab.backbones import Backbone

_READ = ("attention_mask", "token_type_ids")


@dataclass(frozen=True)
class Loss:
    """The loss of one batch.

    Attributes:
        total: scalar to minimise.
        parts: scalar losses by name, before any weighting; an objective with one term has one part.
        metrics: scalars to watch, without gradient, such as the accuracy on predicted positions.
        states: final hidden states (b, t, d) that the loss was read from, for other terms of a sum to read; None
            where there are no such.
        targets: ids (n,) of the tokens that were predicted, None where it was something else: guessing them by
            frequency alone is what a loss has to beat.
    """

    total: Tensor
    parts: dict[str, Tensor]
    metrics: dict[str, Tensor] = field(default_factory=dict)
    states: Tensor | None = None
    targets: Tensor | None = None

    @classmethod
    def of_tokens(cls, name: str, scores: Tensor, targets: Tensor, states: Tensor | None = None) -> "Loss":
        """Mean cross entropy and accuracy of scores (n, v), taken in fp32, of tokens (n,)."""
        loss = F.cross_entropy(scores.float(), targets)
        accuracy = (scores.detach().argmax(dim=-1) == targets).float().mean()
        return cls(loss, {name: loss}, {"accuracy": accuracy}, states, targets)


class Objective(nn.Module, ABC):
    """Corrupts a batch, runs the backbone on it and says how wrong the predictions are.

    An objective owns the heads it needs; the backbone stays outside, so that it is saved without them.
    """

    @abstractmethod
    def forward(self, backbone: Backbone, batch: Mapping[str, Tensor]) -> Loss:
        """Return the loss of a batch: `input_ids`, `attention_mask`, perhaps `token_type_ids`, each (b, t)."""


class Reader(Objective):
    """An objective that only reads final hidden states, so that a sum can let it read those of another term."""

    def forward(self, backbone: Backbone, batch: Mapping[str, Tensor]) -> Loss:
        """Return the loss of a batch as it is."""
        return self.read(backbone.last(**model_inputs(batch, batch["input_ids"])), batch)

    @abstractmethod
    def read(self, states: Tensor, batch: Mapping[str, Tensor]) -> Loss:
        """Return the loss of final hidden states (b, t, d) of a batch, whose tokens may have been corrupted."""


def model_inputs(batch: Mapping[str, Tensor], input_ids: Tensor) -> dict[str, Tensor]:
    """What the backbone reads of a batch, with other ids: neither labels nor units."""
    return {name: batch[name] for name in _READ if name in batch} | {"input_ids": input_ids}

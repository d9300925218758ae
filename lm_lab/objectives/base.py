"""What every pretraining objective is: a module with its own heads that turns a batch into a named loss."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives.chunked import linear_cross_entropy

_READ = ("attention_mask", "token_type_ids")


@dataclass(frozen=True)
class Loss:
    """The loss of one batch.

    Attributes:
        parts: scalar losses by name, each a mean; an objective with one term has one part.
        counts: of how many predictions each part and each metric is the mean, by its name. Means of batches that
            differ in length are put together by these, and a batch with nothing to predict counts 0.
        metrics: scalars to watch, without gradient, such as the accuracy on predicted positions.
        weights: what a part is multiplied by in the sum of them; 1 where none is given.
        states: final hidden states (b, t, d) that the loss was read from, for other terms of a sum to read; None
            where there are no such.
        targets: ids (n,) of the tokens that were predicted, None where it was something else: guessing them by
            frequency alone is what a loss has to beat.
    """

    parts: dict[str, Tensor]
    counts: dict[str, int]
    metrics: dict[str, Tensor] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    states: Tensor | None = None
    targets: Tensor | None = None

    @classmethod
    def of_tokens(cls, name: str, scores: Tensor, targets: Tensor, states: Tensor | None = None) -> "Loss":
        """Mean cross entropy and accuracy of scores (n, v), taken in fp32, of tokens (n,); 0 where there are none."""
        loss, accuracy = cross_entropy(scores, targets)
        counts = dict.fromkeys((name, "accuracy"), len(targets))
        return cls({name: loss}, counts, {"accuracy": accuracy}, states=states, targets=targets)

    @classmethod
    def of_states(
        cls, name: str, scored: tuple[Tensor, Tensor, Tensor | None], targets: Tensor, states: Tensor | None = None
    ) -> "Loss":
        """The same from what scores are the product of, states (n, e), a table (v, e), a bias: never all in memory."""
        loss, accuracy = linear_cross_entropy(*scored, targets)
        counts = dict.fromkeys((name, "accuracy"), len(targets))
        return cls({name: loss}, counts, {"accuracy": accuracy}, states=states, targets=targets)

    @property
    def total(self) -> Tensor:
        """Scalar to minimise: the weighted sum of the parts."""
        return weighted(self.parts, self.weights)

    @property
    def count(self) -> int:
        """What a batch weighs in a step of several: its predicted tokens; without such, what its first part counts."""
        return self.counts[next(iter(self.parts))] if self.targets is None else len(self.targets)

    @property
    def means(self) -> dict[str, Tensor]:
        """Parts and metrics by name."""
        return self.parts | self.metrics


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


def require_context(objective: Objective, backbone: Backbone) -> None:
    """Raise `UsageError` for a backbone whose states know nothing of the tokens around."""
    if not backbone.num_layers:
        raise UsageError(
            f"{type(objective).__name__} learns from the tokens around one, and {backbone.kind} has no layer that "
            "reads them; give a backbone with layers above its embeddings."
        )


def weighted(parts: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The sum of scalar parts, each times its weight, 1 where it has none."""
    first, *others = [weights[name] * part if name in weights else part for name, part in parts.items()]
    return sum(others, first)


def cross_entropy(scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross entropy and accuracy of scores (n, k), taken in fp32, of classes (n,); 0 where there are none."""
    if not len(targets):
        nothing = scores.float().sum()
        return nothing, nothing.detach()
    accuracy = (scores.detach().argmax(dim=-1) == targets).float().mean()
    return F.cross_entropy(scores.float(), targets), accuracy


def model_inputs(batch: Mapping[str, Tensor], input_ids: Tensor) -> dict[str, Tensor]:
    """What the backbone reads of a batch, with other ids: neither labels nor units."""
    return {name: batch[name] for name in _READ if name in batch} | {"input_ids": input_ids}

"""Several objectives on one backbone, such as BERT's masked words and sentence order (Devlin et al. 2019).

    loss = sum over i of w_i loss_i(backbone, batch)

Each term corrupts the batch by itself and runs the backbone once, so a step costs the sum of theirs. A term that only
reads states (`NextSentence`) reads those of the first other term that has any (`MaskedLM`): one pass for both, as in
BERT, over masked tokens. Weights are taken as given: they need not add up to 1.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives.base import Loss, Objective, Reader

ObjectiveFactory = Callable[[Backbone], Objective]


class SumOfObjectives(Objective):
    """A weighted sum of objectives, itself an objective.

    Args:
        backbone: given to every term.
        terms: for each name, a callable of the backbone. Parts and metrics of a term are reported as `name/part`.
        weights: for each name, a number above 0; a term without one weighs 1.

    Raises:
        UsageError: there is no term, a name is no identifier, a weight is not above 0 or has no term.
    """

    def __init__(
        self, backbone: Backbone, terms: dict[str, ObjectiveFactory], weights: dict[str, float] | None = None
    ) -> None:
        super().__init__()
        given = weights or {}
        _check(terms, given)
        self.weights = {name: given.get(name, 1.0) for name in terms}
        self.terms = nn.ModuleDict({name: term(backbone) for name, term in terms.items()})

    def forward(self, backbone: Backbone, batch: Mapping[str, Tensor]) -> Loss:
        """Return the weighted sum; `parts` and `metrics` are those of the terms, before weighting."""
        losses = self._losses(backbone, batch)
        weights = {
            f"{name}/{part}": self.weights[name] * loss.weights.get(part, 1.0)
            for name, loss in losses.items()
            for part in loss.parts
        }
        parts, counts, metrics = (
            {f"{name}/{key}": value for name, loss in losses.items() for key, value in getattr(loss, field).items()}
            for field in ("parts", "counts", "metrics")
        )
        predicted = [loss.targets for loss in losses.values() if loss.targets is not None]
        return Loss(parts, counts, metrics, weights, targets=torch.cat(predicted) if predicted else None)

    def _losses(self, backbone: Backbone, batch: Mapping[str, Tensor]) -> dict[str, Loss]:
        readers = {name: term for name, term in self.terms.items() if isinstance(term, Reader)}
        others = {name: term for name, term in self.terms.items() if name not in readers}
        losses = {name: term(backbone, batch) for name, term in others.items()}
        states = next((loss.states for loss in losses.values() if loss.states is not None), None)
        for name, term in readers.items():
            losses[name] = term(backbone, batch) if states is None else term.read(states, batch)
        return {name: losses[name] for name in self.terms}


def _check(terms: Mapping[str, ObjectiveFactory], weights: Mapping[str, float]) -> None:
    if not terms:
        raise UsageError("terms={}: a sum needs at least one objective, under a name of your choice.")
    for name in terms:
        if not name.isidentifier():
            raise UsageError(f"terms: '{name}' must be letters, digits and underscores, for it starts names of losses.")
    for name, weight in weights.items():
        if name not in terms:
            raise UsageError(f"weights: there is no term '{name}'; the terms are {', '.join(terms)}.")
        if not 0 < weight < math.inf:
            raise UsageError(f"weights: {name}={weight} must be above 0; leave a term out that is to have no weight.")

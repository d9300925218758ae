"""A model without its delta, for a while: the teacher of a distillation, the reference of what was kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lm_lab.errors import UsageError
from lm_lab.strategies.base import Delta

if TYPE_CHECKING:
    from lm_lab.models.adapted import AdaptedModel


@contextmanager
def disabled(model: "AdaptedModel") -> Iterator[None]:
    """Let the backbone compute what it did when it was loaded; the head stays.

    Deltas step aside. Weights that train themselves are exchanged for the pretrained ones, which are read again the
    first time and kept on the CPU.

    Raises:
        UsageError: weights train themselves, and were random when the backbone was made.
    """
    deltas = [module for module in model.backbone.modules() if isinstance(module, Delta)]
    own = _trained_themselves(model, deltas)
    pretrained = _pretrained(model, own)
    learned = {name: parameter.detach().clone() for name, parameter in own.items()}
    try:
        _put(own, pretrained)
        for delta in deltas:
            delta.enabled = False
        yield
    finally:
        _put(own, learned)
        for delta in deltas:
            delta.enabled = True


def _trained_themselves(model: "AdaptedModel", deltas: list[Delta]) -> dict[str, Tensor]:
    added = {id(parameter) for delta in deltas for parameter in delta.parameters()}
    found = model.backbone.named_parameters()
    return {name: p for name, p in found if f"backbone.{name}" in model.trained and id(p) not in added}


def _pretrained(model: "AdaptedModel", own: dict[str, Tensor]) -> dict[str, Tensor]:
    if own.keys() <= model.pretrained.keys():
        return model.pretrained
    if not model.backbone.pretrained:
        raise UsageError(
            f"{type(model.strategy).__name__} trains weights that were random when the backbone was made, so there is "
            "nothing to go back to; keep a copy of the model from before."
        )
    before = dict(model.backbone.again().named_parameters())
    model.pretrained = {name: before[name].detach().cpu() for name in own}
    return model.pretrained


@torch.no_grad()
def _put(own: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    """In place and past autograd: a graph of before finds its values again when the learned ones are back."""
    for name, parameter in own.items():
        parameter.data.copy_(values[name])

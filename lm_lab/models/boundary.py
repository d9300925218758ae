"""Where an adapted model begins to differ from its frozen backbone, and a forward pass that starts there.

    h_j = block_j( ... block_1(embeddings))        never changes where nothing below block j + 1 trains or was added

With h_j stored, a training step computes blocks j + 1 to L alone: the blocks below hand on what they are given, and
block j + 1 reads the stored states. Names, hooks and modules of the backbone stay as they are.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lm_lab.heads.readout import Readout
from lm_lab.models.adapted import AdaptedModel
from lm_lab.strategies.base import Delta
from lm_lab.tokens import MARKED

STATES = "states"  # in a batch: for each text (b, t, d) what the boundary's block reads
_HIDDEN = "hidden_states"


class _ReachedError(Exception):
    """The states that are wanted are there: nothing above them need be computed."""


def boundary(model: AdaptedModel) -> int | None:
    """The number j of the last hidden state that never changes; None where there is none, or not above the embeddings.

    Also None with dropout in frozen parts, where a block serves several layers, and for encoder-decoders.
    """
    backbone, head = model.backbone, model.head
    whole = isinstance(head, Readout) and backbone.has("block") and not getattr(backbone, "encoder_decoder", False)
    if not whole or model.frozen_dropout or backbone.shared_layers:
        return None
    layers = {id(m): match.layer for match in backbone.sites("block") for m in match.module.modules()}
    if backbone.has("final_norm"):
        layers |= {id(match.module): backbone.num_layers + 1 for match in backbone.sites("final_norm")}
    touched = [layers.get(id(module), 0) for module in backbone.modules() if _changes(module)]
    last = min(touched, default=0) - 1
    return last if 0 < last < min(head.layers) and last < backbone.num_layers else None


def _changes(module: nn.Module) -> bool:
    own = (parameter for parameter in module._parameters.values() if parameter is not None)
    return isinstance(module, Delta) or any(parameter.requires_grad for parameter in own)


class Boundary:
    """Lets a model begin at hidden state `number` wherever a batch brings `STATES`.

    Args:
        model: whose blocks up to `number` are frozen; changed until `remove` is called.
        number: of a hidden state, as of `boundary`.
    """

    def __init__(self, model: AdaptedModel, number: int) -> None:
        self.model, self.queue = model, list[Tensor]()
        matches = sorted(model.backbone.sites("block"), key=lambda match: match.layer)
        self.below, self.first = [match.module for match in matches[:number]], matches[number].module
        self.results: dict[int, type] = {}
        for block in self.below:
            block.forward = partial(self._pass, block, block.forward)
        self.handles = [
            self.first.register_forward_pre_hook(self._start, with_kwargs=True),
            model.register_forward_pre_hook(self._take),
        ]

    def remove(self) -> None:
        """Let the model be as it was."""
        for block in self.below:
            del block.forward
        for handle in self.handles:
            handle.remove()

    @torch.no_grad()
    def states(self, text: Mapping[str, Tensor]) -> Tensor:
        """(b, t, d) of one text, computed by the blocks below."""
        found: list[Tensor] = []

        def keep(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            found.append(args[0] if args else kwargs[_HIDDEN])
            raise _ReachedError

        handle = self.first.register_forward_pre_hook(keep, with_kwargs=True)
        try:
            self.model.backbone.last(**{name: values for name, values in text.items() if name != MARKED.name})
        except _ReachedError:
            pass
        finally:
            handle.remove()
        return found[0]

    def _take(self, _: nn.Module, args: tuple[dict[str, Any]]) -> None:
        self.queue = list(args[0].get(STATES, []))

    def _pass(self, block: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What a block below computes; with states at hand what it was given, in the form of its result."""
        if not self.queue:
            result = forward(*args, **kwargs)
            self.results[id(block)] = type(result)
            return result
        x = args[0] if args else kwargs[_HIDDEN]
        return (x,) if issubclass(self.results.get(id(block), Tensor), tuple) else x

    def _start(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not self.queue:
            return None
        states = self.queue.pop(0)
        return ((states, *args[1:]), kwargs) if args else (args, kwargs | {_HIDDEN: states})

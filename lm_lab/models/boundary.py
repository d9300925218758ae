"""Where an adapted model begins to differ from its frozen backbone, and a forward pass that starts there.

    h_j = block_j( ... block_1(embeddings))        never changes where nothing below block j + 1 trains or was added

With h_j stored, a training step computes blocks j + 1 to L alone: the blocks below hand on what they are given, and
block j + 1 reads the stored states. Names, hooks and modules of the backbone stay as they are. Of an encoder-decoder
whose encoder never changes, what is stored is all that the encoder gives, and its decoder is computed.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from lm_lab.backbones import Backbone
from lm_lab.backbones.transformers_backbone import require_transformers
from lm_lab.heads.encoder_decoder import EncoderDecoderGeneration
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

    Of an encoder-decoder none above the encoder's last. Also None with dropout in frozen parts, and where a block
    serves several layers.
    """
    backbone, head = model.backbone, model.head
    whole = isinstance(head, Readout | EncoderDecoderGeneration) and backbone.has("block")
    if not whole or model.frozen_dropout or backbone.shared_layers:
        return None
    layers = _layers(backbone)
    touched = [layers.get(id(module), 0) for module in backbone.modules() if _changes(module)]
    last = min(touched, default=0) - 1
    if backbone.encoder_decoder:
        last = min(last, _depth_of_encoder(backbone))
    return last if 0 < last < min(head.layers) and last < backbone.num_layers else None


def _layers(backbone: Backbone) -> dict[int, int]:
    """Id of each module inside a block, or behind all of them, and the number of the state that it makes."""
    layers = {id(m): match.layer for match in backbone.sites("block") for m in match.module.modules()}
    if backbone.has("final_norm"):
        layers |= {id(match.module): backbone.num_layers + 1 for match in backbone.sites("final_norm")}
    return layers


def _changes(module: nn.Module) -> bool:
    own = (parameter for parameter in module._parameters.values() if parameter is not None)
    return isinstance(module, Delta) or any(parameter.requires_grad for parameter in own)


def _encoder(backbone: Backbone) -> nn.Module:
    found: nn.Module = require_transformers(backbone, "an encoder of its own").model.get_encoder()
    return found


def _depth_of_encoder(backbone: Backbone) -> int:
    inside = {id(module) for module in _encoder(backbone).modules()}
    return sum(id(match.module) in inside for match in backbone.sites("block"))


class Boundary:
    """Lets a backbone begin at hidden state `number` wherever it was given states.

    Args:
        backbone: whose blocks up to `number` are frozen; changed until `remove` is called.
        number: of a hidden state, as of `boundary`.
        owners: backbones whose weights it computes with, where these are not its own (a pack's).

    Attributes:
        ended: called once when something below trains: from there on states count no more.
    """

    def __init__(self, backbone: Backbone, number: int, owners: Sequence[Backbone] = ()) -> None:
        self.backbone, self.queue, self.over = backbone, list[Tensor](), False
        self.ended: Callable[[], None] = lambda: None
        self.below_it = [p for owner in owners or (backbone,) for p in _below(owner, number)]
        matches = sorted(backbone.sites("block"), key=lambda match: match.layer)
        self.whole = backbone.encoder_decoder and number == _depth_of_encoder(backbone)
        self.skipped = [_encoder(backbone)] if self.whole else [match.module for match in matches[:number]]
        self.first = matches[number].module
        self.results: dict[int, type] = {}
        for module in self.skipped:
            module.forward = partial(self._pass, module, module.forward)
        self.handles = [] if self.whole else [self.first.register_forward_pre_hook(self._start, with_kwargs=True)]

    def listen(self, model: nn.Module) -> None:
        """Take states from the batches that a model is called with."""
        self.handles.append(model.register_forward_pre_hook(lambda _, args: self.give(args[0].get(STATES, ()))))

    def give(self, states: Sequence[Tensor]) -> None:
        """Let the next passes, as many as there are states (b, t, d), start from these, unless something trains."""
        if states and not self.over and any(parameter.requires_grad for parameter in self.below_it):
            self.over = True
            self.ended()
        self.queue = [] if self.over else list(states)

    def remove(self) -> None:
        """Let the backbone be as it was."""
        for module in self.skipped:
            del module.forward
        for handle in self.handles:
            handle.remove()

    @torch.no_grad()
    def states(self, text: Mapping[str, Tensor]) -> Tensor:
        """(b, t, d) of one text, computed by what is below."""
        found: list[Tensor] = []

        def keep(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], *output: Any) -> None:
            found.append(output[0][0] if output else args[0] if args else kwargs[_HIDDEN])
            raise _ReachedError

        behind, before = self.skipped[-1].register_forward_hook, self.first.register_forward_pre_hook
        handle = behind(keep, with_kwargs=True) if self.whole else before(keep, with_kwargs=True)
        try:
            self.backbone.last(**{name: values for name, values in text.items() if name != MARKED.name})
        except _ReachedError:
            pass
        finally:
            handle.remove()
        return found[0]

    def _pass(self, module: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What is computed below; with states at hand a block gives what it was given, in the form of its result."""
        if not self.queue:
            result = forward(*args, **kwargs)
            self.results[id(module)] = type(result)
            return result
        if self.whole:
            states, layers = self.queue.pop(0), _depth_of_encoder(self.backbone)
            return BaseModelOutput(last_hidden_state=states, hidden_states=(states,) * (layers + 1))
        x = args[0] if args else kwargs[_HIDDEN]
        return (x,) if issubclass(self.results.get(id(module), Tensor), tuple) else x

    def _start(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not self.queue:
            return None
        states = self.queue.pop(0)
        return ((states, *args[1:]), kwargs) if args else (args, kwargs | {_HIDDEN: states})


def _below(backbone: Backbone, number: int) -> list[nn.Parameter]:
    """The parameters that hidden state `number` is made with."""
    layers = _layers(backbone)
    modules = (module for module in backbone.modules() if layers.get(id(module), 0) <= number)
    return [parameter for module in modules for parameter in module._parameters.values() if parameter is not None]

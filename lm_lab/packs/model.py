"""Several adapted models of one backbone as one module: a pass over the rows of all of them.

    run 1: (b, t)  |
    ...            |->  (k b, t)  ->  the backbone, once  ->  (k b, t, d)  ->  k heads
    run k: (b, t)  |

Frozen weights are there once, and multiply the rows of all runs. Where a run has weights of its own, its rows meet
these alone: rows of different runs never meet, so each run's losses and gradients are those of the run alone.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.heads.readout import Readout, Text
from lm_lab.models import AdaptedModel
from lm_lab.models.boundary import STATES, Boundary
from lm_lab.packs import attention
from lm_lab.packs.errors import ApartError
from lm_lab.packs.places import OwnDraws, OwnWeights, PackedDelta
from lm_lab.packs.prompts import PackedPrefix, PackedPrompt
from lm_lab.packs.streams import Stream
from lm_lab.strategies.base import Delta
from lm_lab.strategies.prefix import Prefix
from lm_lab.strategies.prompt import SoftPrompt
from lm_lab.tokens import MARKED

Batch = Mapping[str, Any]


class Pack(nn.Module):
    """Runs that share a backbone.

    Args:
        models: adapted in the same way, with the same weights; frozen ones are made one.
        streams: random numbers of each.

    Raises:
        ApartError: they cannot be read in one pass.
    """

    def __init__(self, models: Sequence[AdaptedModel], streams: Sequence[Stream]) -> None:
        super().__init__()
        for model in models:
            require_readout(model)
            share(models[0], model)
        self.models: Any = nn.ModuleList(models)
        self.streams = list(streams)
        self.rows = self.length = 0  # of each run, in the present batch
        self.shapes: list[tuple[int, ...]] = []  # and what of these are its own
        self.shared = self._shared([model.backbone for model in models])
        self.start: Boundary | None = None

    def forward(self, batches: Sequence[Batch]) -> list[Tensor]:
        """Scores of each run on its own batch, as its own model gives them."""
        return list(self.each(batches))

    def each(self, batches: Sequence[Batch]) -> Iterator[Tensor]:
        """The same, run by run, its random numbers in place."""
        read = [] if "features" in batches[0] else self.read(batches)
        for run, (model, batch) in enumerate(zip(self.models, batches, strict=True)):
            with self.streams[run].drawn():
                yield model.head.scores(_Read(model.backbone, iter(read), run), batch)

    def alike(self, batch: Batch) -> Tensor:
        """Scores of all runs on the same batch, one after the other."""
        return torch.cat(self([batch] * len(self.models)))

    def begin_at(self, number: int) -> Boundary:
        """Let a pass start from hidden states of that number wherever batches bring them."""
        self.start = Boundary(self.shared, number, [model.backbone for model in self.models])
        return self.start

    def require_own(self) -> None:
        """Raise `ApartError` if a backward pass met weights of no run: code read them past their module."""
        own = {id(p) for model in self.models for p in model.parameters()}
        for name, parameter in self.shared.named_parameters():
            if parameter.grad is not None and id(parameter) not in own:
                raise ApartError(f"{self.shared.kind} reads {name} without calling its module.")

    def train(self, mode: bool = True) -> "Pack":
        """As each of the models is, and the shared backbone as the first one's: what is frozen stays in eval mode."""
        super().train(mode)
        modes = {name: module.training for name, module in self.models[0].backbone.named_modules()}
        for name, module in self.shared.named_modules():
            module.training = modes.get(name, module.training)
        return self

    def read(self, batches: Sequence[Batch]) -> list[list[list[Tensor]]]:
        """Hidden states of each text of a row, of each run, a tensor for each layer that is asked for."""
        layers = self.shared.num_layers
        last = all(model.head.layers == (layers,) for model in self.models)
        found = []
        for place, own in enumerate(zip(*(batch["texts"] for batch in batches), strict=True)):
            text = merged(own, self.shared)
            self.shapes = [tuple(one["attention_mask"].shape) for one in own]
            self.rows, self.length = (max(shape[side] for shape in self.shapes) for side in (0, 1))
            if self.start is not None:
                self.start.give(self._stored([batch[STATES][place] for batch in batches if STATES in batch]))
            states = self._states(text, last)
            apart = zip(*(state.chunk(len(own)) for state in states), strict=True)
            found.append([[s[:b, :t] for s in run] for run, (b, t) in zip(apart, self.shapes, strict=True)])
        return found

    def _stored(self, states: Sequence[Tensor]) -> list[Tensor]:
        """Those of all rows, where every run's batch brought its own."""
        whole = len(states) == len(self.shapes)
        return [torch.cat([_padded(own, self.rows, self.length, 0) for own in states])] if whole else []

    def _states(self, text: Text, last: bool) -> list[Tensor]:
        """Of all rows. Raises `ApartError` where code of the backbone cannot run over several runs' weights."""
        try:
            with attention.drawn_apart(self):
                return [self.shared.last(**text)] if last else list(self.shared(**text))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise ApartError(f"{self.shared.kind} cannot be read in one pass: {str(error).splitlines()[0]}") from error

    def _shared(self, backbones: Sequence[Backbone]) -> Backbone:
        """A copy of the first backbone in which each run's own weights stand side by side."""
        frozen = {id(p): p for p in backbones[0].parameters() if not p.requires_grad}
        backbones[0].has("block")  # known from here on: to infer places is to call modules, with rows of one run
        shared = copy.deepcopy(backbones[0], frozen)
        inside: set[str] = set()
        for name, module in list(shared.named_modules()):
            if any(name.startswith(f"{known}.") for known in inside):
                continue
            own = [backbone.get_submodule(name) for backbone in backbones]
            if isinstance(module, Delta):
                inside.add(name)
                self._put(shared, name, module, own)
            elif isinstance(module, nn.Dropout):
                module.forward = OwnDraws(own, self)  # type: ignore[method-assign, assignment]
            elif any(p.requires_grad for p in module._parameters.values() if p is not None):
                module.forward = OwnWeights(own, self)
        attention.prepare(shared)
        return shared

    def _put(self, shared: Backbone, name: str, delta: Delta, own: Sequence[Any]) -> None:
        parent, _, child = name.rpartition(".")
        packed: Delta | None = None
        if isinstance(delta, Prefix):
            packed = PackedPrefix(own, self)
        elif isinstance(delta, SoftPrompt):
            packed = PackedPrompt(own)
        elif any(p.requires_grad for p in delta.parameters()):
            sites = [model.backbone.get_submodule(parent) for model in self.models]
            packed = PackedDelta(delta, own, sites, self)
        if packed is not None:
            shared.get_submodule(parent)._modules[child] = packed


class _Read:
    """What the head of one run sees of a pass that is over: a backbone that gives the states of its own rows."""

    def __init__(self, backbone: Any, read: Iterator[list[list[Tensor]]], run: int) -> None:
        self.num_layers, self._read, self._run = backbone.num_layers, read, run

    def __call__(self, **_: Tensor) -> tuple[Tensor, ...]:
        return tuple(next(self._read)[self._run])

    def last(self, **_: Tensor) -> Tensor:
        return next(self._read)[self._run][-1]


def merged(texts: Sequence[Text], backbone: Backbone) -> Text:
    """The rows of all texts, (b, t) each -> (k most b, longest t); what is marked is the heads' alone.

    An epoch's smaller batch comes at another step in each run: its last row stands in for those that it lacks.
    """
    most, longest = (max(text["attention_mask"].shape[side] for text in texts) for side in (0, 1))
    padding = {asked.name: asked.padding for asked in backbone.asks} | {"input_ids": backbone.tokenizer.pad_token_id}
    names = without_marks(texts[0])
    return {
        name: torch.cat([_padded(text[name], most, longest, padding.get(name, 0)) for text in texts]) for name in names
    }


def without_marks(text: Text) -> Text:
    """What the backbone reads of a text."""
    return {name: values for name, values in text.items() if name != MARKED.name}


def _padded(values: Tensor, rows: int, length: int, value: int) -> Tensor:
    longer = F.pad(values, (*(0, 0) * (values.dim() - 2), 0, length - values.shape[1]), value=value)
    return torch.cat([longer, longer[-1:].expand(rows - len(values), *longer.shape[1:])])


def require_readout(model: AdaptedModel) -> None:
    """Raise `ApartError` for a model whose head reads more than hidden states, or is fitted in place of steps."""
    if getattr(model.strategy, "penalty", None) is not None:
        raise ApartError("a probe with a penalty is fitted to convergence, one run at a time.")
    if not isinstance(model.head, Readout):
        raise ApartError(f"a {type(model.head).__name__} writes texts, one run at a time.")


def share(first: AdaptedModel, other: AdaptedModel) -> None:
    """Give `other` the frozen parameters of the first's backbone.

    Raises:
        ApartError: they are other weights.
    """
    for name, module in other.backbone.named_modules():
        for own, value in list(module._parameters.items()):
            known = first.backbone.get_submodule(name)._parameters[own]
            if value is None or known is None or value.requires_grad or value is known:
                continue
            if not torch.equal(value, known):
                raise ApartError("the runs have frozen weights of their own.")
            module._parameters[own] = known

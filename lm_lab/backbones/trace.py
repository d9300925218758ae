"""One forward pass of a few tokens, watched: which modules are called, in which order, and what flows between them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import sdpa_mask

from lm_lab.backbones import structure
from lm_lab.backbones.sites import within
from lm_lab.errors import UsageError

TOKENS = 4
_NAME = "lm_lab_trace"
_FORMULA = ("softcap", "s_aux", "sinks")  # what changes the formula of attention
Run = Callable[[], object]


@dataclass(frozen=True)
class Call:
    """A call of a module: the first tensor it was given, and its output where that is a tensor."""

    name: str
    given: Tensor | None
    output: Tensor | None


@dataclass
class Trace:
    """What a forward pass did.

    Attributes:
        calls: in the order in which they ended. Tensors are kept, so that no other takes their place.
        kinds: "dropout" (or nothing in its place) and "norm" for the modules that are one.
        attended: modules that called the attention function of `transformers`, with the names of what they asked of it
            that is no plain attention.
    """

    calls: list[Call] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)
    attended: dict[str, set[str]] = field(default_factory=dict)

    def place(self, name: str) -> int:
        """When a module was called first; -1 if it was not."""
        return next((number for number, call in enumerate(self.calls) if call.name == name), -1)

    def last(self, name: str) -> int:
        """When a module, or one inside of it, was called last; -1 if it was not."""
        return max((number for number, call in enumerate(self.calls) if within(call.name, name)), default=-1)

    def count(self, name: str) -> int:
        """How often a module was called."""
        return sum(call.name == name for call in self.calls)

    def readers(self, place: int) -> list[Call]:
        """Later calls that were given the very output of a call."""
        output = self.calls[place].output
        return [call for call in self.calls[place + 1 :] if output is not None and _same(output, call.given)]


def trace(model: PreTrainedModel, run: Run) -> Trace:
    """Watch `run`, which calls `model` once, without dropout and without a trace in the model or in random numbers.

    Raises:
        NotImplementedError: on the meta device, of a model whose computation depends on numbers.
        UsageError: the model cannot read a few token ids.
    """
    found = Trace(kinds={name: _kind(module) for name, module in model.named_modules()})
    names = {id(module): name for name, module in model.named_modules()}
    hooks = [
        module.register_forward_hook(_recorder(found, name), with_kwargs=True) for name, module in model.named_modules()
    ]
    try:
        with undisturbed(model), _attention(model, found, names):
            run()
    except Exception as error:
        if model.device.type == "meta":
            raise NotImplementedError(f"{type(model).__name__} computes what depends on numbers: {error}") from error
        kind, first = model.config.model_type, str(error).strip().split("\n")[0]
        raise UsageError(
            f"{kind}: {type(model).__name__} cannot read {TOKENS} token ids and nothing else ({type(error).__name__}: "
            f"{first}); a backbone here has to."
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    return found


@contextmanager
def undisturbed(model: PreTrainedModel) -> Iterator[None]:
    """Evaluation mode and no gradients for a while; modes and random numbers are then as they were."""
    training = [module for module in model.modules() if module.training]
    device = model.device
    for module in model.modules():
        if device.type == "meta" and isinstance(module, PreTrainedModel):  # padding is looked for among values
            module.warn_if_padding_and_no_attention_mask = _say_nothing
    with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
        model.eval()
        try:
            yield
        finally:
            for module in training:
                module.training = True


def _kind(module: nn.Module) -> str:
    if isinstance(module, nn.Dropout | nn.Identity):
        return "dropout"
    return "norm" if structure.is_norm(module) else ""


def _say_nothing(*_: object) -> None:
    """Stand in for a warning."""


def _recorder(found: Trace, name: str) -> Callable[..., None]:
    def record(_: nn.Module, args: tuple[Any, ...], options: dict[str, Any], output: Any) -> None:
        given = next((value for value in (*args, *options.values()) if isinstance(value, Tensor)), None)
        found.calls.append(Call(name, given, output if isinstance(output, Tensor) else None))

    return record


@contextmanager
def _attention(model: PreTrainedModel, found: Trace, names: dict[int, str]) -> Iterator[None]:
    """Put an attention function in place that notes who calls it, where the model's code takes one."""

    def attend(module: nn.Module, query: Tensor, _: Tensor, value: Tensor, *__: Any, **options: Any) -> Any:
        asked = {name for name in _FORMULA if options.get(name) is not None}
        found.attended.setdefault(names.get(id(module), ""), set()).update(asked)
        b, heads, t, _width = query.shape
        return value.new_zeros(b, t, heads, value.shape[-1]) + value.mean(), None

    before = model.config._attn_implementation
    if not model._can_set_attn_implementation():
        yield
        return
    AttentionInterface.register(_NAME, attend)
    AttentionMaskInterface.register(_NAME, sdpa_mask)
    model.set_attn_implementation(_NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
        for interface in (AttentionInterface, AttentionMaskInterface):
            interface._global_mapping.pop(_NAME, None)


def _same(output: Tensor, given: Tensor | None) -> bool:
    """True for one tensor, or for two views of one in the same shape."""
    if given is None or given.shape != output.shape:
        return False
    return given is output or given.untyped_storage()._cdata == output.untyped_storage()._cdata


def few_tokens(count: int, device: torch.device) -> dict[str, Tensor]:
    """A text (1, t) to read, of `count` known ids."""
    ids = (torch.arange(TOKENS, device=device) + 5).remainder(count).unsqueeze(0)
    # on the meta device a mask would be looked at for padding, and has no values
    return {"input_ids": ids} | ({} if ids.is_meta else {"attention_mask": torch.ones_like(ids)})

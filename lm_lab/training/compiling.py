"""`torch.compile` of the networks that train: `compile: auto | true | false | graphs`.

A model of `transformers` becomes one graph, with what strategies hook into it inside. Heads, losses and what corrupts
a batch stay as they are: an LSTM, random numbers of a generator and rows chosen by a mask would break the graph.

A module is called through the compiler and stays the module that it is, so names of parameters, deltas, checkpoints
and copies know nothing of it. It is so only where gradients are taken: an evaluation, which is short, or writes a text
of growing length, runs as ever, and so does a step whose operations are counted. Rows and lengths are dynamic: a batch
of another size is no reason to compile anew.

`graphs` has the compiler record CUDA graphs too, one for each size of batch: a step is then launched as a whole.
"""

import types
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import is_in_torch_dispatch_mode
from transformers import PreTrainedModel

from lm_lab.errors import UsageError
from lm_lab.training import budget
from lm_lab.training.machine import sharding

When = Literal["auto", "graphs", True, False]
OPTIONS: dict[str, Any] = {"backend": "inductor"}
"""Of `torch.compile`; another backend takes less time to build, for tests."""
GRAPHS: dict[str, Any] = {"mode": "reduce-overhead"}
"""What `graphs` adds to them."""
PAYS = 10_000
"""Steps from which `auto` compiles: a minute of compiling is 6 ms of each. An estimate, not measured."""
SECONDS = 600.0
"""Of a run that time limits, from which `auto` compiles."""


def compile_networks(module: nn.Module, required: bool = False, graphs: bool = False) -> list["Compiled"]:
    """Let every network of `module` be called through the compiler, and say which ones.

    Args:
        module: a backbone, or what holds some.
        required, graphs: as of `Compiled`.

    Raises:
        UsageError: there is none, and one is required.
    """
    found = [Compiled(network, required, graphs) for network in networks(module)]
    if required and not found:
        raise UsageError("compile: true is for models of transformers, and here is none; leave it out.")
    warnings.filterwarnings("ignore", r"The \.grad attribute of a Tensor that is not a leaf")  # a compiler looks at it
    for call in found:
        call.network._compiled_call_impl = call  # as `nn.Module.compile` does
    return found


def restore(calls: Iterable["Compiled"]) -> None:
    """Undo `compile_networks`."""
    for call in calls:
        call.network._compiled_call_impl = None


def networks(module: nn.Module) -> Iterator[nn.Module]:
    """Models of `transformers` inside `module` that are in no other."""
    for child in module.children():
        if isinstance(child, PreTrainedModel):
            yield child
        else:
            yield from networks(child)


def wanted(when: When, trainer: L.Trainer, steps: int) -> bool:
    """Whether a fit of so many steps is to be compiled: with `auto` a long one on a GPU.

    Raises:
        UsageError: CUDA graphs are asked for where there are none, or where gradients outlive a step's memory.
    """
    if when == "graphs":
        _require_graphs(trainer)
    if when != "auto":
        return bool(when)
    left = budget.time_left(trainer)
    if steps < PAYS or (left is not None and left < SECONDS):
        return False
    strategy = trainer.strategy
    return strategy.root_device.type == "cuda" and not isinstance(strategy, sharding.FullySharded)


def _require_graphs(trainer: L.Trainer) -> None:
    device, batches = trainer.strategy.root_device.type, trainer.accumulate_grad_batches
    if device != "cuda":
        raise UsageError(f"compile: graphs records CUDA graphs, and this fit runs on {device}; say true, or nothing.")
    if batches != 1:
        raise UsageError(
            f"compile: graphs takes one batch a step, and accumulate_grad_batches is {batches}: the next batch would "
            "overwrite its gradients; say true."
        )


class Compiled:
    """A call of a network, which is compiled at the first one.

    Args:
        network: what is called, hooks included.
        graphs: whether CUDA graphs are recorded too; whoever trains then says where a step begins.

    Attributes:
        required: whether a network that cannot be compiled ends the run; otherwise it runs as it is, with a warning.
        works: whether a compiled call has come back, and all after it.
    """

    def __init__(self, network: nn.Module, required: bool = False, graphs: bool = False) -> None:
        self.network, self.required, self.works = network, required, False
        self._eager = _call(network)
        options = OPTIONS | (GRAPHS if graphs else {})
        self._compiled: Callable[..., Any] = torch.compile(self._eager, fullgraph=True, **options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the network gives.

        Raises:
            UsageError: it cannot be compiled, and is required to be.
        """
        if not torch.is_grad_enabled() or is_in_torch_dispatch_mode(include_infra_modes=False):
            return self._eager(*args, **kwargs)
        _mark((args, kwargs))
        try:
            found = self._compiled(*args, **kwargs)
        except refusals() as error:
            self._refused(error)
            return self._eager(*args, **kwargs)
        self.works = True
        return found

    def _refused(self, error: Exception) -> None:
        """Go on without the compiler; where it has worked before, that ends no run."""
        name, said = type(self.network).__name__, _in_words(error)
        if self.required and not self.works:
            raise UsageError(f"compile: true, but {name} cannot be compiled here: {said} Leave it out, or say false.")
        rank_zero_warn(f"{name} goes on without the compiler: {said}")
        self.network._compiled_call_impl, self.works = None, False


def refusals() -> tuple[type[Exception], ...]:
    """What a compiler raises that cannot do its work; imported late, as it takes seconds."""
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor.exc import InductorError, InvalidCxxCompiler

    return TorchDynamoException, InductorError, InvalidCxxCompiler


def _call(network: nn.Module) -> Callable[..., Any]:
    """The network's call, hooks included, as code of its own: a compiler counts by code how often it began anew."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return network._call_impl(*args, **kwargs)

    return types.FunctionType(call.__code__.replace(), globals(), "call", None, call.__closure__)


def _in_words(error: Exception) -> str:
    """The first line, or two where it only says who raised it."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return " ".join(lines[:2] if lines[0].endswith(":") else lines[:1])


def _mark(inputs: Any) -> None:
    """Let sizes of the inputs be those of any other batch; what a network knows better stays fixed."""
    for value in pytree.tree_leaves(inputs):
        if isinstance(value, Tensor):
            torch._dynamo.maybe_mark_dynamic(value, [side for side, size in enumerate(value.shape) if size > 1])

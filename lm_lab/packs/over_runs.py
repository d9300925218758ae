"""A module's own code over the rows of several runs, each with its own weights.

Rows of a batch are those of run 1, then those of run 2, and so on, the same number of each. `torch.func.vmap` runs the
module's code over runs, which turns its matrix products into batched ones; where that cannot be, or a module draws
random numbers, each run has its turn.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lm_lab.packs.errors import ApartError
from lm_lab.packs.streams import Stream

Code = Callable[..., Tensor]  # of (module, tensors): what the module does with the rows of one run
DRAWING = (nn.Dropout, nn.RNNBase)
_LARGE = 2**15  # numbers of a weight, on a CPU: there stacking it costs more than calls saved


class _Called(nn.Module):
    """A function of a module as a forward pass, which `functional_call` needs."""

    def __init__(self, module: nn.Module, code: Code) -> None:
        super().__init__()
        self.module, self.code = module, code

    def forward(self, *tensors: Tensor) -> Tensor:
        return self.code(self.module, *tensors)


def with_weights(module: nn.Module, code: Code, weights: dict[str, Tensor], *tensors: Tensor) -> Tensor:
    """`code` of `module` with the weights of group i on the rows of group i.

    Args:
        module: whose names the weights have.
        code: of (module, tensors).
        weights: (g, ...) each.
        tensors: (g * m, ...) each.

    Returns:
        (g * m, ...).
    """
    groups = len(next(iter(weights.values())))
    called = _Called(module, code)

    def one(own: dict[str, Tensor], *rows: Tensor) -> Tensor:
        return functional_call(called, {f"module.{name}": value for name, value in own.items()}, rows)

    apart = [tensor.unflatten(0, (groups, -1)) for tensor in tensors]
    found: Tensor = torch.func.vmap(one)(weights, *apart)
    return found.flatten(0, 1)


class Rows(Protocol):
    """The rows of a pack's present batch.

    Attributes:
        rows, length: of each run in it.
        shapes: what of these are a run's own rows and tokens; the rest fills up.
        streams: random numbers of the runs.
    """

    rows: int
    length: int
    shapes: list[tuple[int, ...]]
    streams: list[Stream]


class OverRuns:
    """Modules of the same place in several runs, called on the rows of all.

    Args:
        modules: one a run; of the same class.
        pack: what says how many rows a run has now, and has the runs' random numbers.
        trained: names of the parameters in which they differ.
    """

    def __init__(self, modules: Sequence[nn.Module], pack: Rows, trained: Sequence[str]) -> None:
        self.modules, self.pack, self.trained = list(modules), pack, list(trained)
        self.together = _alike(self.modules, self.trained)
        self.drawing = [found for own in self.modules for found in own.modules() if isinstance(found, DRAWING)]

    def __call__(self, code: Callable[[int], Code], *tensors: Tensor) -> Tensor:
        """`code(run)` of each module on its rows; tensors (k * b * m, ...) -> (k * b * m, ...).

        What is the same for all rows, such as positions (1, t), is read once with the weights of each run.
        """
        runs, rows = len(self.modules), self.pack.rows
        if all(len(tensor) == 1 for tensor in tensors):
            return self._rows(code, *(t.expand(runs, *t.shape[1:]) for t in tensors)).repeat_interleave(rows, dim=0)
        if any(len(tensor) % (runs * rows) for tensor in tensors):
            raise ApartError(f"a {type(self.modules[0]).__name__} is not called with rows of each run.")
        return self._rows(code, *tensors)

    def _rows(self, code: Callable[[int], Code], *tensors: Tensor) -> Tensor:
        draws = any(map(is_drawing, self.drawing))
        if self.together and not draws and not self._large(tensors[0]):
            return with_weights(self.modules[0], code(0), self._stacked(), *tensors)
        parts = enumerate(zip(*(tensor.chunk(len(self.modules)) for tensor in tensors), strict=True))
        return torch.cat([self._of(run, code(run), rows, draws) for run, rows in parts])

    def _of(self, run: int, code: Code, rows: tuple[Tensor, ...], draws: bool) -> Tensor:
        if not draws:
            return code(self.modules[run], *rows)
        (b, t), whole = self.pack.shapes[run], (self.pack.rows, self.pack.length)
        # as many numbers as alone: how others fill it up must not move what this run draws
        own = [values[:b, :t] if values.shape[:2] == whole else values for values in rows]
        with self.pack.streams[run].drawn():
            found = code(self.modules[run], *own)
        return filled(found, *whole) if rows[0].shape[:2] == whole else found

    def _large(self, rows: Tensor) -> bool:
        return rows.device.type == "cpu" and any(p.numel() > _LARGE for p in self.modules[0].parameters())

    def _stacked(self) -> dict[str, Tensor]:
        return {name: torch.stack([own.get_parameter(name) for own in self.modules]) for name in self.trained}


def filled(values: Tensor, rows: int, length: int) -> Tensor:
    """Zeros behind rows and tokens: (b, t, ...) -> (rows, length, ...)."""
    b, t = values.shape[:2]
    return nn.functional.pad(values, (*(0, 0) * (values.dim() - 2), 0, length - t, 0, rows - b))


def own_forward(module: nn.Module, *tensors: Tensor) -> Tensor:
    """A module's own code, without the hooks that stand around it."""
    found = type(module).forward(module, *tensors)
    if not isinstance(found, Tensor):
        raise ApartError(f"a {type(module).__name__} gives more than a tensor.")
    return found


def is_drawing(module: nn.Module) -> bool:
    """True for a dropout, or a recurrent network with one, that drops something now."""
    share = module.dropout if isinstance(module, nn.RNNBase) else getattr(module, "p", 0)
    return module.training and bool(share)


def _alike(modules: Sequence[nn.Module], trained: Sequence[str]) -> bool:
    """True if the modules differ in the numbers of their trained parameters alone."""
    first = modules[0]
    known = {name: value for name, value in [*first.named_parameters(), *first.named_buffers()] if name not in trained}
    for other in modules[1:]:
        if any(other.get_parameter(name).shape != first.get_parameter(name).shape for name in trained):
            return False
        frozen = dict([*other.named_parameters(), *other.named_buffers()])
        if any(value is not frozen[name] and not torch.equal(value, frozen[name]) for name, value in known.items()):
            return False
        if _settings(other) != _settings(first):
            return False
    return True


def _settings(module: nn.Module) -> dict[str, Any]:
    """What a module's code reads beside its weights."""
    own = {name: value for name, value in vars(module).items() if not name.startswith("_") and name != "training"}
    return {name: value for name, value in own.items() if not isinstance(value, tuple) and not _holds_modules(value)}


def _holds_modules(value: Any) -> bool:
    return isinstance(value, nn.Module | Tensor | list)

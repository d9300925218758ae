"""One delta a row: what stands in for a trained module when each text of a batch has weights of its own.

The weights of N users are stacked, (N, ...); a batch picks a row for each text, (b, ...), and the delta's own code runs
over rows, as it does over the runs of a pack.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from lm_lab.errors import UsageError
from lm_lab.packs.over_runs import Code, own_forward, with_weights
from lm_lab.strategies.base import Delta
from lm_lab.strategies.prefix import Prefix
from lm_lab.strategies.prompt import SoftPrompt


class Users:
    """Whose text each row of the current batch is."""

    index: Tensor

    def rows(self, stacked: Tensor) -> Tensor:
        """(N, ...) -> (b, ...)."""
        return stacked[self.index]


class RowDelta(Delta):
    """A delta in the place of N: `before` and `after` with each row's own weights."""

    def __init__(self, delta: Delta, stacked: dict[str, Tensor], users: Users) -> None:
        super().__init__()
        self.users = users
        self.single = (delta,)  # in a tuple: its weights are no parameters of the bank
        self.names = list(stacked)
        for number, value in enumerate(stacked.values()):
            self.register_buffer(f"stacked_{number}", value)

    def picked(self) -> dict[str, Tensor]:
        """Name in the delta -> (b, ...)."""
        return {name: self.users.rows(self.get_buffer(f"stacked_{i}")) for i, name in enumerate(self.names)}

    def before(self, module: nn.Module, x: Tensor) -> Tensor:
        """Each row through its own `before`."""
        if type(self.single[0]).before is Delta.before:
            return x
        return self._over_rows(lambda delta, row: delta.before(module, row), x)

    def after(self, module: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Each row through its own `after`."""
        if type(self.single[0]).after is Delta.after:
            return y
        return self._over_rows(lambda delta, *row: delta.after(module, *row), self.single[0].reads(x), y)

    def _over_rows(self, call: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
        return over_rows(self.single[0], call, self.picked(), tensors)


def over_rows(module: nn.Module, code: Code, picked: dict[str, Tensor], tensors: tuple[Tensor, ...]) -> Tensor:
    """`code` of `module` with the weights of row i on row i of each of `tensors` (b, ...).

    Raises:
        UsageError: the module is not called with one row a text, so it cannot have weights a text.
    """
    rows = len(next(iter(picked.values())))
    if any(len(tensor) != rows for tensor in tensors):
        raise UsageError(
            f"a {type(module).__name__} of this family runs on {len(tensors[0])} rows for {rows} texts: its deltas "
            "cannot be served in one batch."
        )
    return with_weights(module, code, picked, *tensors)


class RowPrefix(Prefix):
    """Keys and values of each row's own prefix."""

    def __init__(self, stacked: Tensor, users: Users) -> None:
        super().__init__()
        self.users = users
        self.register_buffer("stacked", stacked)  # (N, 2, length, d_kv)

    def key_value(self) -> Tensor:
        """(2, b, length, d_kv)."""
        return self.users.rows(self.get_buffer("stacked")).transpose(0, 1)


class RowPrompt(SoftPrompt):
    """Each row's own prompt."""

    def __init__(self, stacked: Tensor, users: Users) -> None:
        nn.Module.__init__(self)
        self.users = users
        self.register_buffer("vectors", stacked)  # (N, k, e)

    def rows(self, texts: int) -> Tensor:  # noqa: ARG002
        """(b, k, e)."""
        return self.users.rows(self.get_buffer("vectors"))


def own_weights(users: Users, stacked: dict[str, Tensor]) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    """A hook that gives a module of the backbone, such as a norm, each row's own weights."""

    def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:  # noqa: ARG001
        picked = {name: users.rows(value) for name, value in stacked.items()}
        return over_rows(module, own_forward, picked, (args[0],))

    return hook

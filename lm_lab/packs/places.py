"""What stands in a backbone that several runs share, where each of them has weights of its own."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from lm_lab.packs.errors import ApartError
from lm_lab.packs.over_runs import OverRuns, Rows, is_drawing, own_forward
from lm_lab.strategies.base import Delta


class PackedDelta(Delta):
    """The deltas of one place, each on the rows of its run.

    Args:
        shared: the delta of the backbone that is shared, which knows what is kept elsewhere (a tap).
        deltas: of the runs.
        sites: the modules that those rewrite; what trains of them is read there.
        pack: whose rows they are.
    """

    def __init__(self, shared: Delta, deltas: Sequence[Delta], sites: Sequence[nn.Module], pack: Rows) -> None:
        super().__init__()
        self.shared = (shared,)  # in tuples: their weights are the runs', and no parameters of the pack
        self.sites = tuple(sites)
        trained = [name for name, value in deltas[0].named_parameters() if value.requires_grad]
        self.over_runs = OverRuns(deltas, pack, trained)
        if any(p.requires_grad for p in sites[0]._parameters.values() if p is not None):
            self.over_runs.together = False  # each delta reads weights of its own site

    def reads(self, x: Tensor) -> Tensor:
        """What the shared backbone keeps of all rows."""
        return self.shared[0].reads(x)

    def before(self, module: nn.Module, x: Tensor) -> Tensor:  # noqa: ARG002
        """Each run's rows through its own `before`."""
        if type(self.shared[0]).before is Delta.before:
            return x
        return self.over_runs(lambda run: lambda delta, rows: delta.before(self.sites[run], rows), x)

    def after(self, module: nn.Module, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG002
        """Each run's rows through its own `after`."""
        if type(self.shared[0]).after is Delta.after:
            return y
        return self.over_runs(lambda run: lambda delta, *rows: delta.after(self.sites[run], *rows), x, y)


class OwnWeights:
    """The forward pass of a module of the backbone of which something trains: each run's rows with its own weights."""

    def __init__(self, modules: Sequence[nn.Module], pack: Rows) -> None:
        if any(True for _ in modules[0].children()):
            raise ApartError(f"a {type(modules[0]).__name__} has weights and modules of its own.")
        trained = [name for name, value in modules[0].named_parameters() if value.requires_grad]
        self.over_runs = OverRuns(modules, pack, trained)
        if getattr(modules[0], "padding_idx", None) is not None:
            self.over_runs.together = False  # vmap would train the row of padding

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """(k * b, ...) or (1, ...) -> (k * b, ...)."""
        if len(args) != 1 or kwargs or not isinstance(args[0], Tensor):
            raise ApartError(f"a {type(self.over_runs.modules[0]).__name__} is called with more than a tensor.")
        return self.over_runs(lambda _: own_forward, args[0])


class OwnDraws:
    """The forward pass of a dropout: each run's rows with its own random numbers, while it drops any."""

    def __init__(self, modules: Sequence[nn.Module], pack: Rows) -> None:
        self.over_runs = OverRuns(modules, pack, ())

    def __call__(self, x: Tensor) -> Tensor:
        """(k * b, ...) -> (k * b, ...)."""
        return self.over_runs(lambda _: own_forward, x) if any(map(is_drawing, self.over_runs.modules)) else x

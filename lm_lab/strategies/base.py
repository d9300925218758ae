"""What every adaptation strategy is: which parameters train, what is added and where, and the head it reads with.

The mechanism is a child module and a hook: `attach` registers a `Delta` under the frozen module it changes, so
the backbone's own parameter names never change, and `requires_grad` alone says what is trained, counted and saved.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.backbones.sites import Match, MissingSiteError
from lm_lab.errors import UsageError
from lm_lab.heads.base import Head
from lm_lab.heads.mix import ScalarMix
from lm_lab.heads.scorers import LinearHead
from lm_lab.heads.task_model import TaskModel
from lm_lab.strategies.about import Group, Paper
from lm_lab.tasks import Task


class Delta(nn.Module):
    """A trained module that rewrites what enters or leaves one frozen module.

    Attributes:
        enabled: False lets the frozen module compute what it did before.
    """

    enabled = True

    def before(self, module: nn.Module, x: Tensor) -> Tensor:  # noqa: ARG002
        """New input of `module`."""
        return x

    def after(self, module: nn.Module, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG002
        """New output of `module`, whose input was `x` (as `reads` gives it) and whose own output is `y`."""
        return y

    def reads(self, x: Tensor) -> Tensor:
        """What `after` gets for the module's input `x`: it, or something kept from elsewhere."""
        return x


# hooks are partials of module-level functions: copies and pickles of the backbone keep working
def _before(name: str, module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    delta = getattr(module, name)
    return (delta.before(module, args[0]), *args[1:]) if delta.enabled else args


def _after(name: str, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    delta = getattr(module, name)
    return delta.after(module, delta.reads(args[0]), output) if delta.enabled else output


def attach(module: nn.Module, name: str, delta: Delta) -> None:
    """Make `delta` a child of `module` and let it rewrite the module's input and output.

    Raises:
        UsageError: if `module` already has a child of that name.
    """
    if name in module._modules:
        raise UsageError(f"a delta '{name}' is already attached to this {type(module).__name__}; apply each once.")
    module.add_module(name, delta)
    if type(delta).before is not Delta.before:
        module.register_forward_pre_hook(partial(_before, name))
    if type(delta).after is not Delta.after:
        module.register_forward_hook(partial(_after, name))


def detach(module: nn.Module, name: str) -> Delta:
    """Undo `attach` and return the delta."""
    tables: tuple[dict[int, Any], ...] = (module._forward_pre_hooks, module._forward_hooks)
    for hooks in tables:
        for key, hook in list(hooks.items()):
            if isinstance(hook, partial) and hook.func in (_before, _after) and hook.args == (name,):
                del hooks[key]
    return module._modules.pop(name)  # type: ignore[return-value]


class AdaptationStrategy(ABC):
    """How a backbone is adapted.

    Attributes:
        learning_rate: the default where none is given.
        learning_rates: the grid that a comparison should tune over; the papers' where they state one.
        start: how far the adapted model may be from the pretrained one before the first step, as the largest
            difference of a last hidden state; None where the method makes no such promise.
        merges: whether `merge` can fold the delta into the backbone's own weights.
        trains: False where not even the head does: a prompt.
        head_alone: whether nothing of the backbone trains, on purpose.
        packs: whether several of its runs can train in one pass over the backbone (`lm_lab.packs`).
        may_differ: settings in which the runs of such a pack may differ, beside seed and learning rate.
        needs: what it looks for in a backbone, where that is no role by name.
        group, paper: what kind of method it is and whose, for the documentation; the first line of the docstring says
            what it does.
    """

    learning_rate: ClassVar[float]
    learning_rates: ClassVar[tuple[float, ...]]
    start: ClassVar[float | None] = 0.0
    merges: ClassVar[bool] = False
    trains: ClassVar[bool] = True
    head_alone: ClassVar[bool] = False
    packs: ClassVar[bool] = True
    may_differ: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[str] = "parameters to train"
    group: ClassVar[Group | None] = None
    paper: ClassVar[Paper | None] = None

    def apply(self, backbone: Backbone) -> None:
        """Freeze `backbone`, then let the strategy add or unfreeze its delta: all that requires a gradient.

        Raises:
            UsageError: the backbone's family cannot be adapted this way.
        """
        backbone.requires_grad_(False)
        self.require_work(backbone)
        with self._named(backbone):
            self.inject(backbone)

    def require_work(self, backbone: Backbone) -> None:
        """Raise `UsageError` if nothing in this backbone would train, so that the head did alone under this name."""
        with self._named(backbone):
            count = self.parameters(backbone)
        if not (count or self.head_alone):
            raise UsageError(
                f"{type(self).__name__} has nothing to train in this {backbone.kind}: it looks for "
                f"{self.needs}, and the roles here are {', '.join(backbone.roles)}. Use LinearProbe if the head alone "
                "is wanted."
            )

    @contextmanager
    def _named(self, backbone: Backbone) -> Iterator[None]:
        """Say who looked for a site that is not there."""
        try:
            yield
        except MissingSiteError as error:
            name, kind = type(self).__name__, backbone.kind
            raise UsageError(f"{name} cannot adapt this {kind}: {error}") from error

    @abstractmethod
    def inject(self, backbone: Backbone) -> None:
        """Unfreeze or add parameters in a frozen `backbone`."""

    @abstractmethod
    def parameters(self, backbone: Backbone) -> int:
        """How many parameters train beside the head, by the method's formula; `backbone` is as it was loaded."""

    def merge(self, backbone: Backbone) -> None:
        """Fold the delta into the backbone's weights. Raises `UsageError` where the method cannot."""
        raise UsageError(f"{type(self).__name__} cannot be merged into the weights of {backbone.kind}.")

    def finish(self, backbone: Backbone) -> "AdaptationStrategy":  # noqa: ARG002
        """Drop what only training needs; returns the strategy whose delta is left."""
        return self

    def given_labels(self, labels: Sequence[str]) -> Self:  # noqa: ARG002
        """This strategy for a task whose classes have these words; only prompts that start from words care."""
        return self

    def on_epoch(self, backbone: Backbone, epoch: int) -> None:  # noqa: B027  most have nothing to do
        """Called before each epoch of training, numbered from 0."""

    def rate_scale(self, backbone: Backbone, name: str) -> float:  # noqa: ARG002
        """What the learning rate of the backbone's parameter `name` is multiplied by."""
        return 1.0

    def layers(self, backbone: Backbone) -> tuple[int, ...]:
        """Hidden states that the head reads: 0 is the embeddings, L the last block."""
        return (backbone.num_layers,)

    def mix(self, backbone: Backbone) -> ScalarMix | None:  # noqa: ARG002
        """How several hidden states become one; None where `layers` is a single one."""
        return None

    def beside(self, backbone: Backbone) -> TaskModel | None:  # noqa: ARG002
        """What the task itself reads of its tokens, beside a mix of hidden states; None where states are read alone."""
        return None

    def head(self, inputs: int, outputs: int) -> nn.Module:
        """Module from pooled vectors (b, inputs) to scores (b, outputs)."""
        return LinearHead(inputs, outputs)

    def whole_head(self, backbone: Backbone, task: Task) -> Head | None:  # noqa: ARG002
        """A head that does not read vectors; None for one around `head`."""
        return None


def above(backbone: Backbone, matches: Sequence[Match], skip: int) -> list[Match]:
    """Those of `matches` that are not in the lowest `skip` blocks (AdapterDrop, Rücklé et al. 2021).

    Raises:
        UsageError: `skip` leaves no block, or the family shares one block between all layers.
    """
    if not 0 <= skip < backbone.num_layers or (skip and backbone.shared_layers):
        most = 0 if backbone.shared_layers else backbone.num_layers - 1
        raise UsageError(f"skip={skip}: give 0 to {most} for this backbone of {backbone.num_layers} layers.")
    return [match for match in matches if match.layer > skip]

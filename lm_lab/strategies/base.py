"""What every adaptation strategy is: which parameters train, what is added and where, and the head it reads with.

The mechanism is a child module and a hook: `attach` registers a `Delta` under the frozen module it changes, so
the backbone's own parameter names never change, and `requires_grad` alone says what is trained, counted and saved.
"""

from abc import ABC, abstractmethod
from functools import partial
from typing import Any, ClassVar

from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.strategies.heads import LinearHead


class Delta(nn.Module):
    """A trained module that rewrites what leaves one frozen module."""

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        """New output of the module whose input was `x` and whose own output is `y`."""
        raise NotImplementedError


def _after(name: str, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return getattr(module, name).after(args[0], output)


def attach(module: nn.Module, name: str, delta: Delta) -> None:
    """Make `delta` a child of `module` and let it rewrite the module's output.

    Raises:
        ValueError: if `module` already has a child of that name.
    """
    if name in module._modules:
        raise ValueError(f"a delta '{name}' is already attached to this {type(module).__name__}")
    module.add_module(name, delta)
    # a partial of a module-level function: copies and pickles of the backbone keep working
    module.register_forward_hook(partial(_after, name))


def detach(module: nn.Module, name: str) -> Delta:
    """Undo `attach` and return the delta."""
    hooks: dict[int, Any] = module._forward_hooks
    for key, hook in list(hooks.items()):
        if isinstance(hook, partial) and hook.func is _after and hook.args == (name,):
            del hooks[key]
    return module._modules.pop(name)  # type: ignore[return-value]


class AdaptationStrategy(ABC):
    """How a backbone is adapted.

    Attributes:
        learning_rate: the default where none is given.
        learning_rates: the grid that a comparison should tune over; the papers' where they state one.
    """

    learning_rate: ClassVar[float]
    learning_rates: ClassVar[tuple[float, ...]]

    def apply(self, backbone: Backbone) -> None:
        """Freeze `backbone`, then let the strategy add or unfreeze its delta: all that requires a gradient.

        Raises:
            UsageError: the backbone's family cannot be adapted this way.
        """
        backbone.requires_grad_(False)
        self.inject(backbone)

    @abstractmethod
    def inject(self, backbone: Backbone) -> None:
        """Unfreeze or add parameters in a frozen `backbone`."""

    def layer(self, backbone: Backbone) -> int:
        """Index of the hidden state that the head reads: 0 is the embeddings, L the last block."""
        return backbone.num_layers

    def head(self, inputs: int, outputs: int) -> nn.Module:
        """Module from pooled vectors (b, inputs) to scores (b, outputs)."""
        return LinearHead(inputs, outputs)

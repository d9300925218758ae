"""Dropout whose masks are given, so that runs which train together draw each from numbers of its own.

    y = x m / (1 - p)        m ~ Bernoulli(1 - p)

On a CPU the masks are those that `nn.Dropout` draws from a generator in the same state.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Noise(nn.Module):
    """Stands in the place of an `nn.Dropout`.

    Args:
        name: of its buffer, seen from the whole module.
        p: share that is dropped.
    """

    noise: Tensor

    def __init__(self, name: str, p: float) -> None:
        super().__init__()
        self.name, self.p = name, p
        self.shape: tuple[int, ...] = ()
        self.dtype = torch.float32
        self.register_buffer("noise", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of `x`."""
        if not self.shape:
            self.shape, self.dtype = tuple(x.shape[1:]), x.dtype
        return x * self.noise

    def draw(self, generators: Sequence[torch.Generator], size: int) -> Tensor:
        """(K, size, ...) a mask for each generator, over 1 - p."""
        device = generators[0].device
        masks = [
            torch.empty(size, *self.shape, dtype=self.dtype, device=device).bernoulli_(1 - self.p, generator=own)
            for own in generators
        ]
        return torch.stack(masks).div_(1 - self.p)


@torch.no_grad()
def given_noise(module: nn.Module, example: Tensor) -> tuple[nn.Module, list[Noise]]:
    """`module` with its dropout replaced, and what replaces it, which has seen the shapes of `example` (1, ...)."""
    found = []
    for name, child in list(module.named_modules()):
        if isinstance(child, nn.Dropout):
            parent, _, own = name.rpartition(".")
            noise = Noise(f"{name}.noise", child.p) if child.p else None
            setattr(module.get_submodule(parent), own, noise or nn.Identity())
            found += [noise] if noise else []
    module(example)
    return module, found

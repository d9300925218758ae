"""Heads: pooled vectors (b, d) to scores (b, outputs)."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

HeadKind = Literal["linear", "no_bias", "mlp"]


class LinearHead(nn.Module):
    """Dropout and one linear layer, N(0, 0.02^2) as in BERT."""

    def __init__(self, inputs: int, outputs: int, dropout: float = 0.1, bias: bool = True) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(inputs, outputs, bias)
        nn.init.normal_(self.out.weight, std=0.02)
        if bias:
            nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(b, inputs) -> (b, outputs)."""
        return self.out(self.dropout(x))


class MLPHead(nn.Module):
    """BERT's pooler, then its classifier: out(dropout(tanh(hidden(x)))), all from N(0, 0.02^2) (Devlin et al. 2019)."""

    def __init__(self, inputs: int, outputs: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, inputs)
        self.classifier = LinearHead(inputs, outputs, dropout)
        nn.init.normal_(self.hidden.weight, std=0.02)
        nn.init.zeros_(self.hidden.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(b, inputs) -> (b, outputs)."""
        return self.classifier(self.hidden(x).tanh())


HEADS: dict[HeadKind, Callable[[int, int], nn.Module]] = {
    "linear": LinearHead,
    "no_bias": partial(LinearHead, bias=False),
    "mlp": MLPHead,
}


def kind_of(head: nn.Module) -> HeadKind | None:
    """The kind of a head's scorer; None for one of a strategy's own, and for a head that has none."""
    scorer = getattr(head, "scorer", None)
    return next((kind for kind, scores in HEADS.items() if type(scorer) is scores), None)


class Standardise(nn.Module):
    """Zero mean and unit variance per feature, with statistics of the training set alone.

    `fit` must see the training features once before use; until then the module is the identity.
    """

    mean: Tensor
    std: Tensor
    fitted: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.register_buffer("fitted", torch.tensor(False))

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Take the statistics of all `batches` (n, features); features that never vary are only centred."""
        count, mean, squares = 0, torch.zeros(()), torch.zeros(())
        for batch in batches:  # Chan, Golub and LeVeque 1979: no sum of large squares is ever taken
            x = batch.double()
            own, total = x.mean(dim=0), count + len(x)
            gap = own - mean
            mean = mean + gap * (len(x) / total)
            squares = squares + ((x - own) ** 2).sum(dim=0) + gap**2 * (count * len(x) / total)
            count = total
        std = (squares / count).sqrt()
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 1e-6, std, torch.ones_like(std)))
        self.fitted.fill_(True)

    def forward(self, x: Tensor) -> Tensor:
        """(b, features) -> (b, features)."""
        return (x - self.mean) / self.std


class ProbeHead(nn.Module):
    """Standardised features, an optional hidden layer, a linear layer; zero at the start: no seed favours a class."""

    def __init__(self, inputs: int, outputs: int, hidden: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        self.standardise = Standardise(inputs)
        self.hidden = (
            nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(dropout)) if hidden else nn.Identity()
        )
        self.out = nn.Linear(hidden or inputs, outputs)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(b, inputs) -> (b, outputs)."""
        return self.out(self.hidden(self.standardise(x)))

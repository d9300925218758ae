"""Log-probabilities over a vocabulary of words without a matrix of all scores: in chunks, or adaptively.

    full       scores s = W h + b, in chunks of rows; what a chunk needs for its gradient is computed again
    adaptive   p(c) of the commonest words and of clusters of rarer ones, and p(w | cluster) of narrower states

The second is exact, and cheaper by an order of magnitude where most tokens are common words (Grave et al. 2017,
https://arxiv.org/abs/1609.04309). Both expect ids in the order of frequency, as `lm-lab tokenizer` gives them.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lm_lab.errors import UsageError

_SCORES = 2**24  # of a chunk: 64 MB
_NARROWER = 2.0  # each cluster's states than those before


class FullSoftmax(nn.Module):
    """One score a word.

    Args:
        width: d of the states.
        size: V words.
    """

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.output = nn.Linear(width, size)
        nn.init.normal_(self.output.weight, std=width**-0.5)
        nn.init.zeros_(self.output.bias)

    def forward(self, states: Tensor, targets: Tensor) -> Tensor:
        """States (n, d) and words (n,) -> log-probabilities (n,)."""
        rows = max(1, _SCORES // self.output.out_features)
        if len(states) <= rows:
            return self._picked(states, targets)
        parts = zip(states.split(rows), targets.split(rows), strict=True)
        return torch.cat([checkpoint(self._picked, *part, use_reentrant=False) for part in parts])

    def log_prob(self, states: Tensor) -> Tensor:
        """(n, d) -> (n, V)."""
        return self.output(states).float().log_softmax(-1)

    def _picked(self, states: Tensor, targets: Tensor) -> Tensor:
        return -F.cross_entropy(self.output(states).float(), targets, reduction="none")


class AdaptiveSoftmax(nn.Module):
    """The commonest words, and clusters of rarer ones.

    Args:
        width: d of the states.
        size: V words.
        cutoffs: the first id of each cluster.

    Raises:
        UsageError: cutoffs do not rise from 1 to below `size`.
    """

    def __init__(self, width: int, size: int, cutoffs: Sequence[int]) -> None:
        super().__init__()
        if list(cutoffs) != sorted({*cutoffs}) or not 0 < cutoffs[0] <= cutoffs[-1] < size:
            raise UsageError(f"cutoffs={list(cutoffs)}: expected rising ids from 1 to {size - 1}.")
        if width < _NARROWER ** len(cutoffs):
            raise UsageError(f"cutoffs={list(cutoffs)}: states {width} wide are too narrow for so many clusters.")
        self.size = size
        self.layers = nn.AdaptiveLogSoftmaxWithLoss(width, size, list(cutoffs), div_value=_NARROWER, head_bias=True)

    def forward(self, states: Tensor, targets: Tensor) -> Tensor:
        """States (n, d) and words (n,) -> log-probabilities (n,)."""
        logs: Tensor = self.layers(states.float(), targets).output
        return logs

    def log_prob(self, states: Tensor) -> Tensor:
        """(n, d) -> (n, V)."""
        return self.layers.log_prob(states.float())


Softmax = FullSoftmax | AdaptiveSoftmax


def build(width: int, size: int, cutoffs: Sequence[int] = ()) -> Softmax:
    """Adaptive where there are cutoffs; errors as of `AdaptiveSoftmax`."""
    return AdaptiveSoftmax(width, size, cutoffs) if cutoffs else FullSoftmax(width, size)


def of_weights(weights: Mapping[str, Tensor]) -> Softmax:
    """The softmax whose state this is."""
    if "output.weight" in weights:
        size, width = weights["output.weight"].shape
        found = build(width, size)
    else:
        width = weights["layers.head.weight"].shape[1]
        names = [name for name in weights if name.startswith("layers.tail.") and name.endswith(".1.weight")]
        tails = [weights[name] for name in sorted(names, key=lambda name: int(name.split(".")[2]))]
        cutoffs = [len(weights["layers.head.weight"]) - len(tails)]
        for tail in tails:
            cutoffs.append(cutoffs[-1] + len(tail))
        found = build(width, cutoffs[-1], cutoffs[:-1])
    found.load_state_dict(dict(weights))
    return found

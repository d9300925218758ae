"""Batches by a budget of tokens: many short texts or few long ones, so that every step costs about as much."""

from itertools import pairwise

import numpy as np

from lm_lab.data.batching import LengthGroupedBatches


class TokenBudgetBatches(LengthGroupedBatches):
    """Batches of as many examples of similar length as fit a number of tokens, padding counted (Vaswani et al. 2017).

    Cuts are of the sorted lengths, so an epoch has as many batches whatever its order: a schedule can count on them.
    Examples of one length change places from epoch to epoch, and batches do. An example that is longer than the budget
    has a batch of its own.

    Args:
        lengths: (n,) tokens of each example.
        tokens: of a batch: its examples times the longest of them.
        seed: of the shuffling; the order depends on (seed, epoch) alone.
        rank, world: this process and their number.
    """

    def __init__(self, lengths: np.ndarray, tokens: int, seed: int = 0, rank: int = 0, world: int = 1) -> None:
        super().__init__(lengths, 1, seed, True, rank, world)
        self.cuts = _cuts(np.sort(lengths), tokens)

    def __len__(self) -> int:
        return -(-(len(self.cuts) - 1) // self.world)

    def _batches(self) -> list[list[int]]:
        random = np.random.default_rng([self.seed, self.epoch])
        order = random.permutation(len(self.lengths))
        order = order[np.argsort(self.lengths[order], kind="stable")]
        batches = [order[begin:end].tolist() for begin, end in pairwise(self.cuts)]
        random.shuffle(batches)
        return batches


def _cuts(ascending: np.ndarray, tokens: int) -> list[int]:
    """Where batches begin, and the end of the last one."""
    cuts = [0]
    for place, longest in enumerate(ascending.tolist()):
        if place > cuts[-1] and (place - cuts[-1] + 1) * longest > tokens:
            cuts.append(place)
    return [*cuts, len(ascending)] if len(ascending) else cuts

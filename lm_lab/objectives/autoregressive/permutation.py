"""Orders in which a permutation language model predicts, and what each position then sees. Pure functions.

    place   0 for a token that is given, 1 .. n for the n targets of a row, in the order in which they are predicted
    position i sees position j if place_j = 0 or place_j < place_i

The whole permutation of a text comes down to these places: what is not predicted comes first, all of it, and sees all
of itself, so that the order among it says nothing (Yang et al. 2019, section 2.3, https://arxiv.org/abs/1906.08237).
"""

import torch
from torch import Tensor

from lm_lab.objectives.masked.noise import number, uniform


def draw_places(targets: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Put the targets of each row into an order, all orders equally likely.

    Args:
        targets: (b, t) bool.
        generator: on the same device; None uses torch's own.

    Returns:
        (b, t), 1 to n for the n targets of a row, 0 elsewhere.
    """
    draws = uniform(targets, generator).masked_fill(~targets, -1.0)  # what is given comes first
    rank = draws.argsort(dim=1).argsort(dim=1)
    return (rank + 1 - (~targets).sum(dim=1, keepdim=True)).clamp(min=0)


def visible(places: Tensor, real: Tensor) -> Tensor:
    """Which keys a prediction sees, (b, query, key) bool: never its own token, never padding.

    A token's own state, in the content stream, sees itself besides; XLNet adds that by itself.

    Args:
        places: (b, t), 0 for tokens that are given.
        real: (b, t) bool, False for padding.
    """
    key, query = places[:, None, :], places[:, :, None]
    return ((key == 0) | (key < query)) & real[:, None, :]


def target_mapping(targets: Tensor) -> Tensor:
    """Say which position each prediction stands for, (b, m, t) bool; m is the largest number of targets of a row.

    Predictions are in the order of the text. Rows with fewer targets have predictions that stand for no position.

    Args:
        targets: (b, t) bool.
    """
    largest = int(targets.sum(dim=1).max())
    return number(targets)[:, None, :] == torch.arange(largest, device=targets.device)[:, None]

"""In which order the nodes of a batch of trees are composed: by level, each node handed once to its parent's level.

A node's level is one more than its highest child's, 0 without children. Nodes are sorted by level, and within it by
their parent's, so that what a level makes is divided into what each higher one needs: no step touches more than its own
nodes and their children, in the backward pass too.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lm_lab.trees import NONE


class Level(NamedTuple):
    """Nodes that are composed at once.

    Attributes:
        children: where each node's left child stands (n,) among what was handed to this level, behind all of it where
            there is none; and its right child, if any node has one.
        onward: how many of the nodes each level is handed, as they are sorted; the last number is of roots.
    """

    children: list[Tensor]
    onward: list[int]


def levels(sides: Sequence[Tensor], real: Tensor) -> tuple[Tensor, list[Level]]:
    """Children (b, m) left and right, -1 for none, and which places are nodes -> nodes in order (n,), their levels."""
    level = _heights(sides).masked_fill(~real, NONE).flatten()
    top, size = int(level.max()) + 1, level.numel()
    offset = torch.arange(0, size, real.shape[1], device=real.device).unsqueeze(1)
    sides = [torch.where((side == NONE) | ~real, size, side + offset).flatten() for side in sides]
    parent = torch.full((size + 1,), top, device=real.device)  # of roots, and of what is no node
    for children in sides:
        parent[children] = level
    parent = parent[:-1]
    order = (level * (top + 1) + parent).argsort(stable=True)[int((level == NONE).sum()) :]
    slots = _slots(order, parent, level, top)
    onward = torch.bincount(level[order] * (top + 1) + parent[order], minlength=top * (top + 1)).view(top, top + 1)
    handed = onward.sum(0).tolist()
    found = []
    for number, own in enumerate(order.split(onward.sum(1).tolist())):
        places = [slots[children[own]].clamp(max=handed[number]) for children in sides]
        found.append(Level(places, onward[number].tolist()))
    return order, found


def _slots(order: Tensor, parent: Tensor, level: Tensor, top: int) -> Tensor:
    """(b * m + 1,) where each node stands among what its parent's level is handed: by level, then as in the batch."""
    arrived = order[(parent[order] * top + level[order]).argsort(stable=True)]
    counts = torch.bincount(parent[arrived], minlength=top + 1)
    slots = torch.full((len(parent) + 1,), len(parent), device=parent.device)  # the last: of no child
    slots[arrived] = torch.arange(len(arrived), device=parent.device) - (counts.cumsum(0) - counts)[parent[arrived]]
    return slots


def _heights(sides: Sequence[Tensor]) -> Tensor:
    height = torch.zeros_like(sides[0])
    while True:
        below = [torch.where(side == NONE, NONE, height.gather(1, side.clamp(min=0))) for side in sides]
        above = torch.stack(below).amax(0) + 1
        if torch.equal(above, height):
            return height
        height = above

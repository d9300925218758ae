"""How many runs a machine has memory for, by what a step of one of them takes.

Activations are most of it, and a pack keeps those of all its runs. On a CPU there is no error to wait for: the system
ends the process that asks for too much.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from lm_lab.packs.errors import TooManyError
from lm_lab.packs.model import Pack
from lm_lab.packs.streams import kept
from lm_lab.packs.trial import Batch, undisturbed
from lm_lab.training.machine import memory

SHARE = 0.8  # of the free memory that a pack may take


def require_room(pack: Pack, batches: Sequence[Batch], longest: float) -> None:
    """Raise `TooManyError` if steps of all runs at once would not fit beside what is there.

    Args:
        pack: in any mode; it is left as it was.
        batches: of each run.
        longest: how many times as long the longest text is as these batches.
    """
    models: Any = pack.models
    device = next(pack.parameters()).device
    with kept(), undisturbed(pack):
        pack.train()
        one = step_bytes(lambda: models[0].loss(batches[0]).backward(), pack, device)
    fit = int(SHARE * memory.free_bytes(device) // max(one * longest, 1))
    if fit < len(batches):
        raise TooManyError(max(1, fit))


def step_bytes(step: Callable[[], None], module: nn.Module, device: torch.device) -> int:
    """What a step takes at its highest, beyond what is held before and after it."""
    memory.reset_peak(device)
    held = memory.peak_bytes(device)
    step()
    taken = memory.peak_bytes(device) - held
    module.zero_grad()
    return taken

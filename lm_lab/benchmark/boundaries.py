"""Training that starts from stored hidden states, where the lower blocks stay as they are.

One pass over the training set keeps, in the run's precision, what the lowest block reads that trains or was added to;
every epoch and every run with the same boundary starts there, packs too. Where the boundary moves down with the epochs
(gradual unfreezing), states serve until training comes below them. They are used where that pays (more than one
epoch), where their file is not larger than `LM_LAB_BOUNDARIES` GiB (4; 0 turns it off), and where a batch with stored
states gives the scores that it gives without: else the run trains on tokens.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn

from lm_lab.benchmark.features import Cost
from lm_lab.benchmark.kept_files import BOUNDARIES, limit
from lm_lab.benchmark.stored_states import BoundaryTable, Table, stored_states
from lm_lab.data.modules.base import TaskData
from lm_lab.models import AdaptedModel
from lm_lab.models.boundary import STATES, Boundary, boundary
from lm_lab.packs import Pack
from lm_lab.packs.errors import ApartError

_CLOSE = {torch.float32: 1e-4, torch.bfloat16: 5e-2}


def use_boundary(
    model: AdaptedModel, data: TaskData, trainer: L.Trainer, folder: Path, pack: Pack | None = None
) -> Cost | None:
    """Let training start from stored states; what they took, or None where it does not.

    Args:
        model: that trains, or the first of a pack.
        data: encoded already.
        trainer: of the run.
        folder: where features are kept.
        pack: in which the model trains.
    """
    encoded = data.encoded["train"]
    if data.tokens_per_batch or not isinstance(encoded, Table) or not _fits(model, encoded):
        return None
    number = spares_most(model, _epochs(trainer, data))
    if number is None:
        return None
    with in_epoch([model] if pack is None else pack.models, 0):
        return _used(number, model, data, trainer, folder, pack)


def _used(
    number: int, model: AdaptedModel, data: TaskData, trainer: L.Trainer, folder: Path, pack: Pack | None
) -> Cost | None:
    encoded: Any = data.encoded["train"]
    start = Boundary(model.backbone, number)
    start.listen(model)
    stored = stored_states(start, number, model, encoded, data.batch_size, trainer, folder)
    table = stored and BoundaryTable(encoded, stored[0])
    if not (stored and table and _same(model, model, table, data.batch_size, trainer)):
        start.remove()
        return None
    start.ended = table.end
    if pack is not None:
        start = pack.begin_at(number)
        start.ended = table.end
        if not _same(pack, pack.alike, table, data.batch_size, trainer):
            raise ApartError("a pack that starts from stored states does not compute what it does on tokens.")
    data.encoded["train"] = table
    return stored[1]


def _fits(model: AdaptedModel, encoded: Table) -> bool:
    tokens = sum(int(each.lengths.sum()) for each in encoded.sequences)
    return tokens * model.backbone.hidden_size * 4 <= limit(BOUNDARIES)


def _epochs(trainer: L.Trainer, data: TaskData) -> int:
    """Of the run, the last perhaps in part."""
    each = math.ceil(len(data.encoded["train"]) / data.batch_size)
    limits = [math.ceil(trainer.max_steps / each)] if trainer.max_steps > -1 else []
    limits += [] if trainer.max_epochs in (None, -1) else [trainer.max_epochs]
    return min(limits, default=0)


def spares_most(model: AdaptedModel, epochs: int) -> int | None:
    """The hidden state to start from that spares most blocks, all epochs together less the pass that stores it.

    What trains may reach lower with each epoch: states serve those epochs before it has come below them.
    """
    numbers: list[int] = []
    for epoch in range(epochs):
        with in_epoch([model], epoch):
            number = boundary(model)
        if number is None:
            break
        numbers.append(min([number, *numbers[-1:]]))
    best = max(numbers, key=lambda number: _spared(number, numbers), default=None)
    return best if best is not None and _spared(best, numbers) > 0 else None


def _spared(number: int, numbers: Sequence[int]) -> int:
    return number * (sum(own >= number for own in numbers) - 1)


@contextmanager
def in_epoch(models: Iterable[AdaptedModel], epoch: int) -> Iterator[None]:
    """Models with what trains in that epoch."""
    models = list(models)
    for model in models:
        model.strategy.on_epoch(model.backbone, epoch)
    try:
        yield
    finally:
        for model in models:
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(name in model.trained)


@torch.no_grad()
def _same(
    module: nn.Module, scores: Callable[[dict[str, Any]], Tensor], table: BoundaryTable, size: int, trainer: L.Trainer
) -> bool:
    """True if the longest and the shortest texts have the scores that they have on tokens."""
    module.to(trainer.strategy.root_device).eval()
    order = np.argsort(table.lengths, kind="stable")
    index = [*order[: size // 2].tolist(), *order[-(size - size // 2) :].tolist()]
    batch = trainer.strategy.batch_to_device(table.collate(index))
    with trainer.precision_plugin.forward_context():
        try:
            fast = scores(batch)
        except (RuntimeError, TypeError, ValueError, AttributeError, IndexError):  # a family that hands on more
            return False
        plain = scores({name: value for name, value in batch.items() if name != STATES})
    close = _CLOSE.get(table.states[0].dtype, 1e-4)
    return torch.allclose(fast.float(), plain.float(), atol=close, rtol=close)

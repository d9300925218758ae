"""Training that starts from stored hidden states, where the lower blocks stay as they are.

One pass over the training set keeps, in the run's precision, what the lowest block reads that trains or was added to;
every epoch and every run with the same boundary starts there. The file is mapped into memory. It is used where it pays
(more than one epoch), where it is not larger than `LM_LAB_BOUNDARIES` GiB (4; 0 turns it off), and where a batch with
stored states gives the scores that it gives without: else the run trains on tokens.
"""

import hashlib
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from lm_lab.atomic import replace_file, replacing
from lm_lab.benchmark.features import Cost
from lm_lab.data.encoding.texts import EncodedTexts
from lm_lab.data.modules.base import TaskData
from lm_lab.models import AdaptedModel
from lm_lab.models.boundary import STATES, Boundary, boundary

LIMIT = "LM_LAB_BOUNDARIES"
_GIB, _DEFAULT = 2**30, 4.0
_CLOSE = {torch.float32: 1e-4, torch.bfloat16: 5e-2}


@dataclass
class BoundaryTable:
    """Tokens with their states, with the interface of `EncodedTexts`; states (tokens, d) of each sequence of a row."""

    encoded: EncodedTexts
    states: list[Tensor]

    def __post_init__(self) -> None:
        self.lengths: np.ndarray = self.encoded.lengths
        self.starts = [np.concatenate([[0], np.cumsum(each.lengths)]) for each in self.encoded.sequences]

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, index: int) -> int:
        return index

    def collate(self, index: list[int]) -> dict[str, Any]:
        """A batch with `states`, (b, t, d) for each text, 0 where it is padded."""
        batch = self.encoded.collate(index)
        batch[STATES] = [
            self._padded(number, index, text["attention_mask"]) for number, text in enumerate(batch["texts"])
        ]
        return batch

    def _padded(self, number: int, index: list[int], mask: Tensor) -> Tensor:
        starts, kept = self.starts[number], self.states[number]
        rows = torch.cat([kept[starts[row] : starts[row + 1]] for row in index])
        found = torch.zeros(*mask.shape, kept.shape[1], dtype=kept.dtype)
        found[mask.bool()] = rows
        return found


def use_boundary(model: AdaptedModel, data: TaskData, trainer: L.Trainer, folder: Path) -> Cost | None:
    """Let training start from stored states; what they took, or None where it does not.

    The data is encoded already.
    """
    number, encoded = boundary(model), data.encoded["train"]
    if number is None or not isinstance(encoded, EncodedTexts) or data.tokens_per_batch or not _pays(trainer, data):
        return None
    tokens = sum(int(each.lengths.sum()) for each in encoded.sequences)
    if tokens * model.backbone.hidden_size * 4 > float(os.environ.get(LIMIT, _DEFAULT)) * _GIB:
        return None
    start = Boundary(model, number)
    stored = _stored(start, number, encoded, data.batch_size, trainer, folder)
    if stored is None or not _same(model, BoundaryTable(encoded, stored[0]), data.batch_size, trainer):
        start.remove()
        return None
    data.encoded["train"] = BoundaryTable(encoded, stored[0])  # type: ignore[assignment]
    return stored[1]


def _pays(trainer: L.Trainer, data: TaskData) -> bool:
    each = math.ceil(len(data.encoded["train"]) / data.batch_size)
    if trainer.max_epochs in (None, -1):
        return trainer.max_steps > each
    return trainer.max_epochs > 1 and not -1 < trainer.max_steps <= each


def _stored(
    start: Boundary, number: int, encoded: EncodedTexts, size: int, trainer: L.Trainer, folder: Path
) -> tuple[list[Tensor], Cost] | None:
    """The states in `folder`, computed where there are none, while other processes wait; None if they do not fit."""
    model, folder = start.model, folder / "boundaries"
    seed = None if model.backbone.pretrained else torch.initial_seed()
    parts = [model.fingerprint, seed, encoded.fingerprint, number, model.pairs, str(trainer.precision)]
    name = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}-{place}.states" for place in range(len(encoded.sequences))]
    with FileLock(folder / f"{name}.lock"):
        facts = _facts(folder / f"{name}.json", paths)
        if facts is None:
            started, processor = time.perf_counter(), time.process_time()
            found = _compute(start, encoded, size, trainer)
            if found is None:
                return None
            for path, states in zip(paths, found, strict=True):
                with replacing(path) as beside:
                    states.contiguous().view(torch.uint8).numpy().tofile(beside)
            facts = {"cost": [time.perf_counter() - started, time.process_time() - processor]}
            facts |= {"dtype": str(found[0].dtype).removeprefix("torch."), "width": found[0].shape[1]}
            replace_file(folder / f"{name}.json", json.dumps(facts | {"hashes": list(map(_hash, paths))}).encode())
    return [_mapped(path, facts) for path in paths], Cost(*facts["cost"])


def _facts(path: Path, files: list[Path]) -> dict[str, Any] | None:
    """What is known of stored states; None if there are none, or others than were written."""
    try:
        facts: dict[str, Any] = json.loads(path.read_text())
        return facts if facts["hashes"] == list(map(_hash, files)) else None
    except (OSError, ValueError, KeyError):
        return None


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _mapped(path: Path, facts: dict[str, Any]) -> Tensor:
    dtype = getattr(torch, facts["dtype"])
    return torch.from_file(str(path), size=path.stat().st_size // dtype.itemsize, dtype=dtype).view(-1, facts["width"])


@torch.no_grad()
def _compute(start: Boundary, encoded: EncodedTexts, size: int, trainer: L.Trainer) -> list[Tensor] | None:
    """The states (tokens, d) of each sequence, row by row; longest first, as the trainer computes."""
    device = trainer.strategy.root_device
    start.model.to(device).eval()
    order = np.argsort(-encoded.lengths, kind="stable")
    found: list[list[Tensor]] = [[torch.empty(0)] * len(encoded) for _ in encoded.sequences]
    with trainer.precision_plugin.forward_context():
        for begin in range(0, len(order), size):
            index = order[begin : begin + size].tolist()
            for place, text in enumerate(encoded.collate(index)["texts"]):
                states = start.states({name: value.to(device) for name, value in text.items()}).cpu()
                if states.shape[:2] != text["attention_mask"].shape:
                    return None
                for row, own, mask in zip(index, states, text["attention_mask"].bool(), strict=True):
                    found[place][row] = own[mask]
    return [torch.cat(each) for each in found]


@torch.no_grad()
def _same(model: AdaptedModel, table: BoundaryTable, size: int, trainer: L.Trainer) -> bool:
    """True if the longest and the shortest texts have the scores that they have on tokens."""
    model.to(trainer.strategy.root_device).eval()
    order = np.argsort(table.lengths, kind="stable")
    index = [*order[: size // 2].tolist(), *order[-(size - size // 2) :].tolist()]
    batch = trainer.strategy.batch_to_device(table.collate(index))
    with trainer.precision_plugin.forward_context():
        try:
            fast = model(batch)
        except (RuntimeError, TypeError, ValueError, AttributeError, IndexError):  # a family that hands on more
            return False
        plain = model({name: value for name, value in batch.items() if name != STATES})
    close = _CLOSE.get(table.states[0].dtype, 1e-4)
    return torch.allclose(fast.float(), plain.float(), atol=close, rtol=close)

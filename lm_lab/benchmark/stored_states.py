"""Hidden states that training starts from, in files that are mapped into memory, and the table of tokens with them.

A file holds the states of one text of each row, keyed by content: the weights' hash, the tokens' fingerprint, the
number of the state, the precision. Its hash is kept beside it; a damaged one is computed again.
"""

import hashlib
import json
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
from lm_lab.benchmark.kept_files import Held, trim
from lm_lab.data.encoding.sequences import EncodedSequences
from lm_lab.data.encoding.texts import EncodedTexts
from lm_lab.models import AdaptedModel
from lm_lab.models.boundary import STATES, Boundary

Table = EncodedTexts | EncodedSequences


@dataclass
class BoundaryTable:
    """Tokens with their states, with the interface of `Encoded`; states (tokens, d) of each text of a row.

    Attributes:
        given: False once training has come to what is below the states: then a batch has tokens alone.
    """

    encoded: Table
    states: list[Tensor]
    given: bool = True

    def __post_init__(self) -> None:
        self.rows = self.encoded.rows
        self.lengths: np.ndarray = self.encoded.lengths
        self.starts = [np.concatenate([[0], np.cumsum(each.lengths)]) for each in self.encoded.sequences]

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, index: int) -> int:
        return index

    def collate(self, index: list[int]) -> dict[str, Any]:
        """A batch with `states`, (b, t, d) for each text, 0 where it is padded."""
        batch = self.encoded.collate(index)
        if self.given:
            masks = enumerate(text["attention_mask"] for text in _texts(batch))
            batch[STATES] = [self._padded(number, index, mask) for number, mask in masks]
        return batch

    def end(self) -> None:
        """Give no states from here on."""
        self.given = False

    def _padded(self, number: int, index: list[int], mask: Tensor) -> Tensor:
        starts, kept = self.starts[number], self.states[number]
        rows = torch.cat([kept[starts[row] : starts[row + 1]] for row in index])
        found = torch.zeros(*mask.shape, kept.shape[1], dtype=kept.dtype)
        found[mask.bool()] = rows
        return found


def _texts(batch: dict[str, Any]) -> list[dict[str, Tensor]]:
    """What is read from the embeddings on: an encoder's sources are."""
    return batch["texts"] if "texts" in batch else [batch["source"]]


def stored_states(
    start: Boundary, number: int, model: AdaptedModel, encoded: Table, size: int, trainer: L.Trainer, folder: Path
) -> tuple[list[Tensor], Cost] | None:
    """The states in `folder`, computed where there are none, while other processes wait; None if they do not fit."""
    folder = folder / "boundaries"
    seed = None if model.backbone.pretrained else torch.initial_seed()
    parts = [model.fingerprint, seed, encoded.fingerprint, number, model.pairs, str(trainer.precision)]
    name = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}-{place}.states" for place in range(len(encoded.sequences))]
    with FileLock(folder / f"{name}.lock"):
        held = Held(paths)
        facts = _facts(folder / f"{name}.json", paths)
        if facts is None:
            held.release()
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
            held = Held(paths)
            trim(folder.parent)
        os.utime(folder / f"{name}.json")
        return [_mapped(path, facts, held) for path in paths], Cost(*facts["cost"])


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


def _mapped(path: Path, facts: dict[str, Any], held: Held) -> Tensor:
    """The states of a file, in memory where they are read; its files are in use with them."""
    dtype = getattr(torch, facts["dtype"])
    flat = torch.from_file(str(path), size=path.stat().st_size // dtype.itemsize, dtype=dtype)
    states = flat.view(-1, facts["width"])
    held.until_gone(states)
    return states


@torch.no_grad()
def _compute(start: Boundary, encoded: Table, size: int, trainer: L.Trainer) -> list[Tensor] | None:
    """The states (tokens, d) of each sequence, row by row; longest first, as the trainer computes."""
    device = trainer.strategy.root_device
    start.backbone.to(device).eval()
    order = np.argsort(-encoded.lengths, kind="stable")
    found: list[list[Tensor]] = [[torch.empty(0)] * len(encoded) for _ in encoded.sequences]
    with trainer.precision_plugin.forward_context():
        for begin in range(0, len(order), size):
            index = order[begin : begin + size].tolist()
            for place, text in enumerate(_texts(encoded.collate(index))):
                states = start.states({name: value.to(device) for name, value in text.items()}).cpu()
                if states.shape[:2] != text["attention_mask"].shape:
                    return None
                for row, own, mask in zip(index, states, text["attention_mask"].bool(), strict=True):
                    found[place][row] = own[mask]
    return [torch.cat(each) for each in found]

"""Tokenise once: texts to ragged token ids, cached on disk under a fingerprint of texts, tokenizer and settings."""

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn
from safetensors.numpy import load_file, save_file
from torch import Tensor
from torch.utils.data import Dataset

from lm_lab.data.checks import Rows

Pairs = Literal["joint", "towers"]


def cache_folder() -> Path:
    """`LM_LAB_CACHE`, or `lm_lab` below the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("LM_LAB_CACHE") or Path(home) / "lm_lab")


@dataclass(frozen=True)
class Encoding:
    """How texts become tokens.

    Attributes:
        tokenizer: a fast tokenizer of `transformers`.
        pairs: "joint" encodes a pair as one sequence, "towers" each text on its own.
        max_length: longest sequence in tokens; what is longer is truncated and counted.
    """

    tokenizer: Any
    pairs: Pairs
    max_length: int

    def __call__(self, rows: Rows) -> "Encoded":
        """Encode rows, from the cache where they were encoded before. Warns with a count if any was truncated."""
        path = cache_folder() / "tokens" / f"{self.fingerprint(rows)}.safetensors"
        if path.is_file():
            arrays = load_file(path)
        else:
            arrays = self._encode(rows)
            _save(arrays, path)
        if cut := int(arrays["truncated"][0]):
            rank_zero_warn(
                f"{rows.origin}: {cut} of {len(rows)} examples are longer than {self.max_length} tokens and were "
                "truncated"
            )
        towers = sum(name.startswith("ids") for name in arrays)
        return Encoded([_Ragged.of(arrays, i) for i in range(towers)], rows, self.tokenizer.pad_token_id)

    def fingerprint(self, rows: Rows) -> str:
        """Hash of everything the tokens depend on."""
        state = json.loads(self.tokenizer.backend_tokenizer.to_str())
        state.pop("truncation"), state.pop("padding")  # set anew by every call
        digest = hashlib.sha256(json.dumps([state, self.pairs, self.max_length]).encode())
        for column in rows.texts:
            digest.update("\0".join(column).encode())
        return digest.hexdigest()[:32]

    def _encode(self, rows: Rows) -> dict[str, np.ndarray]:
        columns = [rows.texts] if self.pairs == "joint" else [(texts,) for texts in rows.texts]
        arrays: dict[str, np.ndarray] = {}
        truncated = np.zeros(len(rows), dtype=bool)
        for tower, texts in enumerate(columns):
            tokens = self.tokenizer(*texts, verbose=False)
            long = [i for i, ids in enumerate(tokens["input_ids"]) if len(ids) > self.max_length]
            if long:
                cut = self.tokenizer(
                    *([t[i] for i in long] for t in texts), truncation=True, max_length=self.max_length
                )
                for name in tokens:
                    for i, values in zip(long, cut[name], strict=True):
                        tokens[name][i] = values
                truncated[long] = True
            arrays |= _Ragged.arrays(tokens, tower)
        return arrays | {"truncated": np.array([truncated.sum()])}


@dataclass(frozen=True)
class _Ragged:
    """n sequences in one flat array."""

    ids: np.ndarray
    offsets: np.ndarray
    types: np.ndarray | None

    @staticmethod
    def arrays(tokens: dict[str, list[list[int]]], tower: int) -> dict[str, np.ndarray]:
        lengths = [len(ids) for ids in tokens["input_ids"]]
        arrays = {
            f"ids{tower}": np.concatenate([np.asarray(ids, np.int32) for ids in tokens["input_ids"]]),
            f"offsets{tower}": np.concatenate([[0], np.cumsum(lengths)]),
        }
        if "token_type_ids" in tokens:
            arrays[f"types{tower}"] = np.concatenate([np.asarray(ids, np.int8) for ids in tokens["token_type_ids"]])
        return arrays

    @staticmethod
    def of(arrays: dict[str, np.ndarray], tower: int) -> "_Ragged":
        return _Ragged(arrays[f"ids{tower}"], arrays[f"offsets{tower}"], arrays.get(f"types{tower}"))

    def pad(self, index: list[int], pad_id: int) -> dict[str, Tensor]:
        starts, stops = self.offsets[index], self.offsets[np.asarray(index) + 1]
        lengths = stops - starts
        mask = np.arange(lengths.max()) < lengths[:, None]  # (b, t)
        flat = np.concatenate([np.arange(a, b) for a, b in zip(starts, stops, strict=True)])
        ids = np.full(mask.shape, pad_id, np.int64)
        ids[mask] = self.ids[flat]
        batch = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask.astype(np.int64))}
        if self.types is not None:
            types = np.zeros(mask.shape, np.int64)
            types[mask] = self.types[flat]
            batch["token_type_ids"] = torch.from_numpy(types)
        return batch


class Encoded(Dataset[int]):
    """Encoded examples; an item is its own position, and `collate` makes the batch."""

    def __init__(self, towers: list[_Ragged], rows: Rows, pad_id: int) -> None:
        self.towers, self.rows, self.pad_id = towers, rows, pad_id
        self.labels = torch.from_numpy(rows.labels).float()
        self.ids = torch.from_numpy(rows.ids).long()
        self.lengths: np.ndarray = sum(np.diff(tower.offsets) for tower in towers)  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> int:
        return index

    def collate(self, index: list[int]) -> dict[str, Any]:
        """A batch: per tower `input_ids`, `attention_mask` (b, t) padded to its longest; `labels`, `ids` (b,)."""
        texts = [tower.pad(index, self.pad_id) for tower in self.towers]
        return {"texts": texts, "labels": self.labels[index], "ids": self.ids[index]}


def _save(arrays: dict[str, np.ndarray], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as stream:
        temporary = Path(stream.name)
    save_file(arrays, temporary)
    temporary.replace(path)  # a reader sees the whole file or none

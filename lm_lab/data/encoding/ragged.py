"""Sequences of different lengths in one flat array, and batches of them padded on the right."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Beside:
    """Values of tokens.

    Attributes:
        places: (tokens,) numbers, or rows of the table.
        fill: what stands behind the end of a text.
        table: (u + 1, ...) values, the first one for behind the end; None where the numbers are the values.
    """

    places: np.ndarray
    fill: int = 0
    table: Tensor | None = None

    def values(self, places: Tensor) -> Tensor:
        """Padded places (b, t) -> (b, t, ...)."""
        return places if self.table is None else self.table[places]


@dataclass(frozen=True)
class Ragged:
    """n token sequences.

    Attributes:
        ids: (tokens,) int32.
        offsets: (n + 1,) where each sequence starts.
        types: (tokens,) int8 segment ids, None where the tokenizer has none.
        beside: what the model reads of each token beside these, by name.
    """

    ids: np.ndarray
    offsets: np.ndarray
    types: np.ndarray | None
    beside: Mapping[str, Beside] = field(default_factory=dict)

    @staticmethod
    def arrays(tokens: Mapping[str, Sequence[Sequence[int]]], name: str = "0") -> Arrays:
        """What a tokenizer gave as flat arrays, under names that end in `name`."""
        lengths = [len(ids) for ids in tokens["input_ids"]]
        arrays = {f"ids{name}": flat(tokens["input_ids"], np.int32), f"offsets{name}": offsets(lengths)}
        if "token_type_ids" in tokens:
            arrays[f"types{name}"] = flat(tokens["token_type_ids"], np.int8)
        return arrays

    @staticmethod
    def of(arrays: Arrays, name: str = "0", beside: Mapping[str, Beside] | None = None) -> "Ragged":
        """The sequences that `arrays` made."""
        return Ragged(arrays[f"ids{name}"], arrays[f"offsets{name}"], arrays.get(f"types{name}"), beside or {})

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """(n,) tokens of each sequence."""
        return np.diff(self.offsets)

    def pad(self, index: Sequence[int] | np.ndarray, pad_id: int) -> dict[str, Tensor]:
        """The sequences at `index`: input_ids, attention_mask and token_type_ids (b, t), t the longest of them.

        And what is asked for beside these, (b, t, ...) each.
        """
        mask = self.mask(index)
        batch = {"input_ids": self.spread(self.ids, index, mask, pad_id)}
        batch["attention_mask"] = torch.from_numpy(mask.astype(np.int64))
        if self.types is not None:
            batch["token_type_ids"] = self.spread(self.types, index, mask, 0)
        for name, beside in self.beside.items():
            batch[name] = beside.values(self.spread(beside.places, index, mask, beside.fill))
        return batch

    def fingerprint(self, tokens: str) -> str:
        """The key of the ids, and with it of what stands beside them."""
        if not self.beside:
            return tokens
        digest = hashlib.sha256(tokens.encode())
        for name, beside in sorted(self.beside.items()):
            digest.update(name.encode() + beside.places.tobytes())
            if beside.table is not None:
                digest.update(beside.table.numpy().tobytes())
        return digest.hexdigest()[:32]

    def mask(self, index: Sequence[int] | np.ndarray) -> np.ndarray:
        """(b, t) bool: where the sequences at `index` have tokens."""
        lengths = self.lengths[np.asarray(index)]
        return np.arange(lengths.max()) < lengths[:, None]

    def spread(self, values: np.ndarray, index: Sequence[int] | np.ndarray, mask: np.ndarray, fill: int) -> Tensor:
        """A value a token (tokens,) as (b, t) int64, with `fill` behind the end."""
        index = np.asarray(index)
        spans = zip(self.offsets[index], self.offsets[index + 1], strict=True)
        padded = np.full(mask.shape, fill, np.int64)
        padded[mask] = np.concatenate([values[start:stop] for start, stop in spans])
        return torch.from_numpy(padded)


def flat(sequences: Sequence[Sequence[int]], dtype: type) -> np.ndarray:
    """Sequences one after another."""
    return np.concatenate([np.asarray(sequence, dtype) for sequence in sequences])


def offsets(lengths: Sequence[int]) -> np.ndarray:
    """(n + 1,) starts of sequences of these lengths, and the end."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])

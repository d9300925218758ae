"""Sources and the texts to be written after them, as tokens."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch.utils.data import Dataset

from lm_lab.data.encoding.encoding import Encoding
from lm_lab.data.encoding.ragged import Arrays, Ragged
from lm_lab.data.reading.lines import Lines
from lm_lab.errors import UsageError


@dataclass(frozen=True)
class SequenceRows:
    """One split.

    Attributes:
        sources, targets: n texts each.
        labels: (n,) class ids or scores where the target stands for one, else zeros.
        ids: (n,) int64, unique.
        origin: the file or source, for messages.
        golds: all texts that are right, of each; none where the target is the only one.
    """

    sources: Sequence[str]
    targets: Sequence[str]
    labels: np.ndarray
    ids: np.ndarray
    origin: str
    golds: Sequence[list[str]] = ()
    unlabelled: Counter[str] = field(default_factory=Counter)

    @property
    def labelled(self) -> np.ndarray:
        """(n,) bool: which rows have a label."""
        known: np.ndarray = ~np.isnan(self.labels)
        return known

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, index: np.ndarray) -> "SequenceRows":
        """The rows at `index`, in that order."""
        sources, targets = ([texts[i] for i in index] for texts in (self.sources, self.targets))
        golds = [self.golds[i] for i in index] if self.golds else ()
        return SequenceRows(sources, targets, self.labels[index], self.ids[index], self.origin, golds)

    def content(self) -> Iterator[bytes]:
        """Texts, labels and ids, for a fingerprint."""
        yield "\0".join([*self.sources, *self.targets, *(text for own in self.golds for text in own)]).encode()
        yield self.labels.tobytes() + self.ids.tobytes()


def source_rows(sources: list[str], lines: Lines) -> SequenceRows:
    """Rows whose targets are not known, of lines that a user gives."""
    return SequenceRows(sources, [""] * len(sources), np.zeros(len(sources)), lines.ids, lines.origin)


class EncodedSequences(Dataset[int]):
    """Encoded examples; an item is its own position, and `collate` makes the batch.

    Attributes:
        sequences: what an encoder reads: the sources.
    """

    def __init__(self, sources: Ragged, targets: Ragged, rows: SequenceRows, pad_id: int, fingerprint: str) -> None:
        self.sources, self.targets, self.rows, self.pad_id = sources, targets, rows, pad_id
        self.sequences, self.fingerprint = [sources], fingerprint
        self.lengths: np.ndarray = sources.lengths + targets.lengths

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> int:
        return index

    def collate(self, index: list[int]) -> dict[str, Any]:
        """A batch: `source` (b, t), `target` (b, u) with masks; `references`, `golds`, `labels`, `ids` (b,)."""
        source, target = (ragged.pad(index, self.pad_id) for ragged in (self.sources, self.targets))
        source.pop("token_type_ids", None)
        return {
            "source": source,
            "target": {name: target[name] for name in ("input_ids", "attention_mask")},
            "references": [self.rows.targets[i] for i in index],
            "labels": torch.from_numpy(self.rows.labels[index]).float(),
            "ids": torch.from_numpy(self.rows.ids[index]),
        } | ({"golds": [self.rows.golds[i] for i in index]} if self.rows.golds else {})


def encode_sequences(rows: SequenceRows, encoding: Encoding, max_target: int, end: int) -> EncodedSequences:
    """Sources as the tokenizer forms a text, targets without special tokens but for the end token.

    Warns with counts of what was cut: targets lose their end, sources the one that is set.
    """
    if encoding.asks:
        asked = ", ".join(ask.name for ask in encoding.asks)
        raise UsageError(f"the model reads {asked} of each token; texts are written by models that read ids alone.")
    key = encoding.fingerprint(rows.content(), "sequences", max_target, end)
    arrays = encoding.cached(key, lambda: _encode(rows, encoding, max_target, end))
    for name, longest in (("sources", encoding.max_length), ("targets", max_target)):
        if cut := int(arrays[f"{name}_cut"][0]):
            rank_zero_warn(f"{rows.origin}: {cut} of {len(rows)} {name} are longer than {longest} tokens and were cut")
    sources, targets = Ragged.of(arrays, "source"), Ragged.of(arrays, "target")
    return EncodedSequences(sources, targets, rows, encoding.tokenizer.pad_token_id, key)


def _encode(rows: SequenceRows, encoding: Encoding, max_target: int, end: int) -> Arrays:
    tokenizer = encoding.tokenizer
    whole = [len(ids) for ids in tokenizer(list(rows.sources), verbose=False)["input_ids"]]
    sources = encoding.truncating(list(rows.sources))
    targets = tokenizer(list(rows.targets), add_special_tokens=False, verbose=False)["input_ids"]
    ended = {"input_ids": [[*ids[: max_target - 1], end] for ids in targets]}
    arrays = Ragged.arrays(sources, "source") | Ragged.arrays(ended, "target")
    return arrays | {
        "sources_cut": np.array([sum(length > encoding.max_length for length in whole)]),
        "targets_cut": np.array([sum(len(ids) >= max_target for ids in targets)]),
    }

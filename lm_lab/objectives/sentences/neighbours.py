"""Sentences of a batch, their vectors and which of them are neighbours in the text."""

from collections.abc import Mapping
from typing import get_args

import torch
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.backbones.pooling import FixedPooling, pool
from lm_lab.errors import UsageError
from lm_lab.objectives.base import Objective, model_inputs, require_context

_GROUPS = 4  # of a batch, by length: an LSTM reads novels in half the time; more groups cost what they save


def follows(batch: Mapping[str, Tensor]) -> Tensor:
    """(b - 1,) whether each sentence but the first follows the one before it. Raises `UsageError` for other rows."""
    if "document" not in batch:
        raise UsageError(
            "this corpus does not say which sentences are neighbours; set data.rows to "
            "lm_lab.data.ConsecutiveSentences."
        )
    return batch["document"][1:] == batch["document"][:-1]


def by_length(mask: Tensor) -> list[tuple[Tensor, int]]:
    """Groups of sentences of like length: their rows, and how many columns the longest fills.

    A run of the text has short and long sentences side by side, and as one batch would be padding for the most part.

    Args:
        mask: (b, t) 1 for a token and 0 for padding, which stands on the right.
    """
    ordered, rows = mask.sum(1).sort()
    known = iter(ordered.tolist())  # waits for a device once
    return [(group, max([next(known) for _ in group], default=1)) for group in rows.chunk(_GROUPS)]


def vectors(backbone: Backbone, batch: Mapping[str, Tensor], how: FixedPooling) -> Tensor:
    """(b, d) a vector a sentence."""
    given, groups = model_inputs(batch, batch["input_ids"]), by_length(batch["attention_mask"])
    found = []
    for rows, longest in groups:
        read = {name: values[rows, :longest] for name, values in given.items()}
        found.append(pool(backbone.last(**read), read["attention_mask"], how))
    return torch.cat(found)[torch.cat([rows for rows, _ in groups]).argsort()]


def pooling_of(objective: Objective, backbone: Backbone, asked: FixedPooling | None) -> FixedPooling:
    """How sentences are read: as asked, else the mean of an encoder and the last token of a decoder.

    Raises:
        UsageError: another pooling, or a backbone that cannot be read so.
    """
    require_context(objective, backbone)
    if backbone.encoder_decoder:
        raise UsageError(
            f"{backbone.kind}: {type(objective).__name__} reads a vector a sentence; give an encoder or a decoder."
        )
    if asked is not None and asked not in get_args(FixedPooling):
        raise UsageError(f"pooling={asked!r}: expected one of {', '.join(get_args(FixedPooling))}.")
    return asked or ("last" if backbone.pooling == "last" else "mean")

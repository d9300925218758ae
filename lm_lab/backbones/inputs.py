"""What a model of `transformers` is given of an encoded batch: what its `forward` takes, with what it needs beside."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Inputs:
    """From the tensors of a batch to the arguments of a model.

    Attributes:
        takes: names of the arguments.
        segments: how many segments the embeddings tell apart.
        start: id of the token that a decoder over an encoder reads first; None without one.
    """

    takes: frozenset[str]
    segments: int
    start: int | None

    def __call__(self, encoding: dict[str, Tensor]) -> dict[str, Any]:
        """`encoding` is left as it is."""
        left = {"token_type_ids"} if self.segments < 2 or "token_type_ids" not in self.takes else set()
        left |= {"attention_mask"} - self.takes
        encoding = {name: value for name, value in encoding.items() if name not in left}
        if "global_attention_mask" in self.takes:
            encoding |= {"global_attention_mask": _first_token(**encoding)}
        if self.start is None:
            # a recurrent model would write the states that it keeps in place, where a gradient needs them
            keeps = "use_cache" in self.takes and "past_key_values" not in self.takes
            return encoding | ({"use_cache": False} if keeps else {})
        # the decoder attends to its left alone and padding is on the right: it needs no mask
        shifted = encoding["input_ids"].roll(1, dims=1)
        shifted[:, 0] = self.start
        return encoding | {"decoder_input_ids": shifted, "use_cache": False}


def _first_token(input_ids: Tensor, attention_mask: Tensor | None = None, **_: Tensor) -> Tensor:
    """Ones (b, t) at the first token of each text: it sees all and is seen by all, as a Longformer's must be that
    classifies (Beltagy et al. 2020, https://arxiv.org/abs/2004.05150)."""
    real = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    return ((real.cumsum(dim=1) == 1) & (real == 1)).long()

"""The Reformer with layers that are differentiated as any others (Kitaev et al. 2020, https://arxiv.org/abs/2001.04451).

    y1 = x1 + Attention(x2)    y2 = x2 + FeedForward(y1)    state = [y1; y2], 2 d wide

Attention is among tokens that are near in the text (local) or in the same hash bucket (LSH), so its cost grows with t,
not t^2. A text of more than one chunk is filled up to whole chunks, and the first chunk also looks at the last one, so
that states of long texts depend a little on padding.

`transformers` computes the layers once more in the backward pass, from their outputs. That gives no gradient to what is
trained inside a frozen model, and sets the seed of all random numbers from the clock, twice a layer. Here activations
are kept instead: memory grows with depth, and runs repeat.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import ReformerConfig
from transformers import ReformerModel as Published
from transformers.modeling_outputs import BaseModelOutput

_SEED = 0


class ReformerModel(Published):
    """Weights and modules of `transformers`' class of this name, with a forward pass of its own.

    Args:
        config: where it leaves the number of hash buckets open, they are set for the longest text: left open, they
            would follow the first text that is read.
    """

    def __init__(self, config: ReformerConfig) -> None:
        if config.num_buckets is None:
            config.num_buckets = buckets(config)
        super().__init__(config)
        for layer in self.encoder.layers:
            layer.attention.self_attention.hash_seed = None  # would set the seed of all other numbers too

    def train(self, mode: bool = True) -> "ReformerModel":
        """Keep axial positions as they are in evaluation: in training they take texts of the greatest length alone."""
        super().train(mode)
        if self.config.axial_pos_embds:
            self.embeddings.position_embeddings.eval()
        return self

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_hidden_states: bool | None = None,
    ) -> BaseModelOutput:
        """Return states (b, t, 2 d): the last, and on demand those of embeddings and of every layer."""
        given = input_ids if input_ids is not None else inputs_embeds
        assert given is not None
        length = given.shape[1]
        mask = torch.ones(given.shape[:2], device=given.device) if attention_mask is None else attention_mask
        embedded = self.embeddings(input_ids=input_ids, position_ids=position_ids, inputs_embeds=inputs_embeds)
        extra = self._missing(length)
        embedded, mask = F.pad(embedded, (0, 0, 0, extra)), F.pad(mask, (0, extra))
        with self._repeatable():
            states = [state[:, :length] for state in self._run(embedded, mask)]
        return BaseModelOutput(
            last_hidden_state=states[-1], hidden_states=tuple(states) if output_hidden_states else None
        )

    def _run(self, embedded: Tensor, mask: Tensor) -> Iterator[Tensor]:
        first = second = embedded
        for layer in self.encoder.layers:
            yield torch.cat([first, second], dim=-1)
            first = first + layer.attention(second, attention_mask=mask).hidden_states
            second = second + layer.feed_forward(first)
        normed = self.encoder.layer_norm(torch.cat([first, second], dim=-1))
        yield F.dropout(normed, p=self.encoder.dropout, training=self.training)

    def _missing(self, length: int) -> int:
        """Tokens that a text lacks to whole chunks; one that fits into a chunk needs none."""
        lengths = chunks(self.config)
        return -length % math.lcm(*lengths) if length > min(lengths) else 0

    @contextmanager
    def _repeatable(self) -> Iterator[None]:
        """Draw the same hashes at every evaluation, and take no number from the run's generator for them."""
        if self.training:
            yield
            return
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(_SEED)
            yield


def chunks(config: ReformerConfig) -> list[int]:
    """Lengths of the chunks of those kinds of attention that the configuration has."""
    of: dict[str, Any] = {"local": config.local_attn_chunk_length, "lsh": config.lsh_attn_chunk_length}
    return [of[kind] for kind in sorted(set(config.attn_layers))]


def buckets(config: ReformerConfig) -> int | list[int]:
    """Twice as many as chunks in the longest text, as a power of two; in two factors from 128 on."""
    longest = config.max_position_embeddings // (config.lsh_attn_chunk_length or 1)
    power = max(1, (2 * longest).bit_length() - 1)
    return 2**power if power < 7 else [2 ** (power // 2), 2 ** (power - power // 2)]

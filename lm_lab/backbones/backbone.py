"""One class over `transformers.AutoModel`: token ids in, the hidden states of every layer out."""

import re
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from lm_lab.backbones import loading, vocabulary
from lm_lab.backbones.families import family_of
from lm_lab.backbones.pooling import Pooling
from lm_lab.backbones.sites import Family, Match, find, roles_of

LINEAR = ("qkv", "query", "key", "value", "attn_out", "mlp_gate", "mlp_in", "mlp_out")


class Backbone(nn.Module):
    """A pretrained encoder, decoder or encoder-decoder without any head.

    An encoder-decoder reads a text with both parts, as BART does to classify (Lewis et al. 2020): the decoder gets it
    shifted right by one. Its hidden states are the encoder's, then those of the decoder's blocks: position t of the
    last one has seen the whole text through the encoder, and the tokens before t once more.

    Args:
        source: hub id, folder, or configuration (`.json`, a folder without weights, or `new:bert-mini` and the like
            (`lm_lab.backbones.architectures`): random weights).
        pretrained: False takes the architecture of `source` with random weights: the control every probe needs.
        tokenizer: where the tokenizer is, if not at `source`. Random weights take the size of its vocabulary and its
            special tokens, whatever their configuration says.
        revision: branch, tag or commit on the hub.
        dropout: overrides every dropout probability of the configuration.
        attention: attention implementation of `transformers` ("sdpa", "eager", "flash_attention_2"). None takes sdpa
            on an accelerator and eager on a CPU, where the backward pass of torch's fused kernel takes half of a step.
        trust_remote_code: run the model code that comes with the weights. Off unless you read that code.

    Raises:
        UsageError: `source` cannot be found, reached or read, or its weights do not fit its configuration.
    """

    def __init__(
        self,
        source: str,
        pretrained: bool = True,
        tokenizer: str | None = None,
        revision: str | None = None,
        dropout: float | None = None,
        attention: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        super().__init__()
        self.reserved = 0
        self.spec: dict[str, Any] = {
            "source": source,
            "pretrained": pretrained,
            "tokenizer": tokenizer,
            "revision": revision,
            "dropout": dropout,
            "attention": attention,
            "trust_remote_code": trust_remote_code,
        }
        origin = loading.origin(**self.spec)
        self.config, self.pretrained, self.fingerprint = origin.config, origin.pretrained, origin.fingerprint
        self.family: Family = family_of(self.config.model_type)
        self._tokenizer = (tokenizer or origin.source, origin.options)
        attention = attention or loading.default_attention(self.config)
        self.model = loading.load_model(origin.source, self.config, self.pretrained, attention, **origin.options)

    @cached_property
    def tokenizer(self) -> Any:
        """The fast tokenizer, loaded when first asked for: a configuration alone has none.

        Raises:
            UsageError: there is none, or it has ids that the weights do not embed.
        """
        source, options = self._tokenizer
        found = loading.load_tokenizer(loading.locate(source), **options)
        vocabulary.require_ids(found, len(self.embeddings.get_parameter("weight")))
        return found

    @property
    def hidden_size(self) -> int:
        """Width d of every hidden state."""
        return self.residual_size * self.family.streams

    @property
    def residual_size(self) -> int:
        """Width of what a sublayer adds to the residual stream; half of d in a Reformer, whose state is two streams."""
        return self.config.hidden_size

    @property
    def num_layers(self) -> int:
        """Number L of blocks; hidden states are numbered 0 (embeddings) to L."""
        decoder = self._decoder_layers if self.config.is_encoder_decoder else 0
        return self.config.num_hidden_layers + decoder

    @property
    def embedding_size(self) -> int:
        """Width of a token's embedding; less than `hidden_size` where the family factorises it (ALBERT, ELECTRA)."""
        return self.embeddings.get_parameter("weight").shape[1]

    @property
    def embeddings(self) -> nn.Module:
        """The module from token ids (b, t) to token embeddings."""
        stack = self.model.get_encoder() if self.config.is_encoder_decoder else self.model
        return stack.get_input_embeddings()

    @property
    def pooling(self) -> Pooling:
        """The family's natural pooling: the first token of an encoder, the last of a decoder."""
        return self.family.pooling

    @property
    def max_length(self) -> int:
        """Longest input in tokens, less those positions that a strategy has taken for itself.

        Positions of RoBERTa and Longformer start at pad + 1, so there are two fewer than configured; relative ones have
        no end.
        """
        positions = getattr(self.config, "max_position_embeddings", None) or 0
        shifted = self.config.model_type in {"roberta", "xlm-roberta", "longformer"}
        free = positions - self.config.pad_token_id - 1 if shifted else positions
        return (free if free > 0 else 10**9) - self.reserved

    def sites(self, role: str) -> list[Match]:
        """Modules that play `role`; see `lm_lab.backbones.sites`. Raises `MissingSiteError` for a role it lacks."""
        return find(self.model, self.family, role)

    def has(self, role: str) -> bool:
        """True if the family has a site for `role`."""
        return role in self.family.sites

    @property
    def roles(self) -> list[str]:
        """Roles that some module of this very model plays."""
        return roles_of(self.model, self.family)

    @property
    def linear_roles(self) -> list[str]:
        """Roles that cover every linear layer of the blocks once; a fused projection counts as a whole."""
        patterns = {name: re.compile(site.pattern) for name, site in self.family.sites.items() if name in LINEAR}
        names = [name for name, _ in self.model.named_modules()]
        found = [role for role in LINEAR if role in patterns and any(map(patterns[role].fullmatch, names))]
        return [role for role in found if "qkv" not in found or role not in ("query", "key", "value")]

    def depth(self, name: str) -> int:
        """Where a module or parameter of `model` stands: 0 embeddings, 1 to L its block, L + 1 behind the last."""
        for number, block in enumerate(self.sites("block"), start=1):
            if name == block.name or name.startswith(f"{block.name}."):
                return number
        behind = [match.name for match in self.sites("final_norm")] if self.has("final_norm") else []
        return self.num_layers + 1 if any(name == n or name.startswith(f"{n}.") for n in behind) else 0

    def forward(self, **encoding: Tensor) -> tuple[Tensor, ...]:
        """Hidden states of the embeddings and of every layer: L + 1 tensors of shape (b, t, d)."""
        output = self.model(**self._inputs(encoding), output_hidden_states=True)
        if not self.config.is_encoder_decoder:
            return (*output.hidden_states[:-1], output.last_hidden_state)
        encoder = (*output.encoder_hidden_states[:-1], output.encoder_last_hidden_state)
        return (*encoder, *output.decoder_hidden_states[1:-1], output.last_hidden_state)

    def last(self, **encoding: Tensor) -> Tensor:
        """The final hidden state alone, (b, t, d)."""
        return self.model(**self._inputs(encoding)).last_hidden_state

    @property
    def segments(self) -> int:
        """How many segments the embeddings tell apart; a tokenizer may mark two where the model knows none."""
        return getattr(self.config, "type_vocab_size", 0 if self.config.model_type == "reformer" else 2)

    def _inputs(self, encoding: dict[str, Tensor]) -> dict[str, Any]:
        if self.segments < 2:
            encoding = {name: value for name, value in encoding.items() if name != "token_type_ids"}
        if self.config.model_type == "longformer":
            return encoding | {"global_attention_mask": _first_token(**encoding)}
        if not self.config.is_encoder_decoder:
            return encoding
        start = getattr(self.config, "decoder_start_token_id", None)
        shifted = encoding["input_ids"].roll(1, dims=1)
        shifted[:, 0] = self.config.pad_token_id if start is None else start
        # the decoder attends to its left alone and padding is on the right: it needs no mask
        return encoding | {"decoder_input_ids": shifted, "use_cache": False}

    @property
    def _decoder_layers(self) -> int:
        return getattr(self.config, "num_decoder_layers", None) or self.config.decoder_layers


def _first_token(input_ids: Tensor, attention_mask: Tensor | None = None, **_: Tensor) -> Tensor:
    """Ones (b, t) at the first token of each text: it sees all and is seen by all, as a Longformer's must be that
    classifies (Beltagy et al. 2020, https://arxiv.org/abs/2004.05150)."""
    real = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    return ((real.cumsum(dim=1) == 1) & (real == 1)).long()

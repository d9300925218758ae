"""One class over `transformers.AutoModel`: token ids in, the hidden states of every layer out."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lm_lab.backbones import loading
from lm_lab.backbones.pooling import Pooling
from lm_lab.backbones.sites import Family, Match, family_of, find


class Backbone(nn.Module):
    """A pretrained encoder or decoder without any head.

    Args:
        source: hub id, folder, or configuration (`.json`, or a folder without weights: random weights).
        pretrained: False takes the architecture of `source` with random weights: the control every probe needs.
        tokenizer: where the tokenizer is, if not at `source`.
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
        self.spec: dict[str, Any] = {
            "source": source,
            "pretrained": pretrained,
            "tokenizer": tokenizer,
            "revision": revision,
            "dropout": dropout,
            "attention": attention,
            "trust_remote_code": trust_remote_code,
        }
        found = loading.locate(source)
        options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
        if revision and not Path(found).exists():
            options["revision"] = revision
        self.config = loading.load_config(found, **options)
        self.family: Family = family_of(self.config.model_type)
        if dropout is not None:
            loading.set_dropout(self.config, dropout)
        self.pretrained = pretrained and loading.has_weights(found)
        self.fingerprint = loading.fingerprint(found, self.config, self.pretrained)
        attention = attention or ("sdpa" if torch.accelerator.is_available() else "eager")
        self.model = loading.load_model(found, self.config, self.pretrained, attention, **options)
        self.tokenizer = loading.load_tokenizer(loading.locate(tokenizer) if tokenizer else found, **options)

    @property
    def hidden_size(self) -> int:
        """Width d of every hidden state."""
        return self.config.hidden_size

    @property
    def num_layers(self) -> int:
        """Number L of blocks; hidden states are numbered 0 (embeddings) to L."""
        return self.config.num_hidden_layers

    @property
    def pooling(self) -> Pooling:
        """The family's natural pooling: the first token of an encoder, the last of a decoder."""
        return self.family.pooling

    @property
    def max_length(self) -> int:
        """Longest input in tokens (RoBERTa's positions start at pad + 1, so it has two fewer than it says)."""
        positions = getattr(self.config, "max_position_embeddings", None) or 10**9
        shifted = self.config.model_type in {"roberta", "xlm-roberta"}
        return positions - self.config.pad_token_id - 1 if shifted else positions

    def sites(self, role: str) -> list[Match]:
        """Modules that play `role`; see `lm_lab.backbones.sites`. Raises `UsageError` for a role it lacks."""
        return find(self.model, self.config.model_type, role)

    def has(self, role: str) -> bool:
        """True if the family has a site for `role`."""
        return role in self.family.sites

    def forward(self, **encoding: Tensor) -> tuple[Tensor, ...]:
        """Hidden states of the embeddings and of every layer: L + 1 tensors of shape (b, t, d)."""
        output = self.model(**encoding, output_hidden_states=True)
        return (*output.hidden_states[:-1], output.last_hidden_state)

    def last(self, **encoding: Tensor) -> Tensor:
        """The final hidden state alone, (b, t, d)."""
        return self.model(**encoding).last_hidden_state

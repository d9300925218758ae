"""ELECTRA's generator: a narrow encoder over the backbone's own embeddings that guesses hidden tokens.

    h = encoder(P embeddings(x~))        embeddings (b, t, e) are the backbone's, P (d', e), d' = size * d
    scores = LayerNorm(gelu(W h + c)) E^T + bias

Clark et al. 2020, https://arxiv.org/abs/2003.10555, section 3.2: a quarter to a half of the backbone's width works
best, and tying the embeddings makes them learn from the whole softmax.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, ElectraConfig

from lm_lab.backbones import Backbone
from lm_lab.backbones.transformers_backbone import require_transformers
from lm_lab.errors import UsageError
from lm_lab.objectives.token_head import TokenHead

_FAMILIES = ("bert", "electra")
_SHARES = "a generator that shares its embeddings"


class Generator(nn.Module):
    """An ELECTRA encoder of the backbone's depth and `size` times its width, with random weights.

    Args:
        backbone: BERT or ELECTRA; word, position and segment embeddings and their norm stay its own.
        size: share of its width, heads and inner width, above 0 and at most 1.

    Raises:
        UsageError: the backbone is of another family, or `size` is no share.
    """

    def __init__(self, backbone: Backbone, size: float = 0.25) -> None:
        super().__init__()
        self.config = generator_config(backbone, size)
        attention = require_transformers(backbone, _SHARES).model.config._attn_implementation
        self.model = AutoModel.from_config(self.config, attn_implementation=attention, dtype=torch.float32)
        self.model.embeddings = _Given()
        self.head = TokenHead(self.config.hidden_size, backbone.embedding_size, self.config.vocab_size)

    def forward(self, backbone: Backbone, inputs: Mapping[str, Tensor]) -> Tensor:
        """Hidden states (b, t, d') of `input_ids`, `attention_mask` and perhaps `token_type_ids`, each (b, t)."""
        ids, segments = inputs["input_ids"], inputs.get("token_type_ids")
        embedded = require_transformers(backbone, _SHARES).model.embeddings(input_ids=ids, token_type_ids=segments)
        return self.model(inputs_embeds=embedded, attention_mask=inputs["attention_mask"]).last_hidden_state


class _Given(nn.Module):
    """Stands where a model embeds its tokens, and passes on what was embedded elsewhere: no table of its own."""

    def forward(self, inputs_embeds: Tensor, **_: Any) -> Tensor:
        return inputs_embeds


def generator_config(backbone: Backbone, size: float) -> Any:
    """The configuration of a generator for `backbone`: ELECTRA's, whose embeddings may be wider than its layers.

    Raises:
        UsageError: the backbone is of another family than BERT or ELECTRA, or `size` is no share.
    """
    config = require_transformers(backbone, _SHARES).config
    if config.model_type not in _FAMILIES:
        raise UsageError(
            f"{config.model_type}: the generator shares the embeddings of a {' or '.join(_FAMILIES)} backbone; "
            "give one of these."
        )
    width = round(size * config.hidden_size)
    if not 0 < size <= 1 or width < 1:
        raise UsageError(f"size={size}: the generator's share of the backbone's width must be above 0 and at most 1.")
    most = max(1, round(size * config.num_attention_heads))
    narrow = {
        "model_type": "electra",
        "embedding_size": backbone.embedding_size,
        "hidden_size": width,
        "intermediate_size": max(1, round(size * config.intermediate_size)),
        "num_attention_heads": next(heads for heads in range(most, 0, -1) if width % heads == 0),
    }
    return ElectraConfig.from_dict(config.to_dict() | narrow)

"""What is known of a family beyond what its configuration, its code and a forward pass tell: a row each.

A row is a correction. What it leaves open is inferred: sites (`inference.py`), and here, from the configuration, what a
family reads with and which way it looks. Rows are keyed by the `model_type` of a `transformers` configuration; a
family from elsewhere comes with a row of its own (`Backbone(family=...)`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from lm_lab.backbones.pooling import Pooling
from lm_lab.backbones.reformer import ReformerModel
from lm_lab.errors import UsageError


@dataclass(frozen=True)
class Site:
    """A pattern matched against whole module names, and the part (index, of) of the output it stands for."""

    pattern: str
    part: tuple[int, int] | None = None


class Correction:
    """What a configuration may name by its class path, from any package: a `Row`."""


@dataclass(frozen=True)
class Row(Correction):
    """One family.

    Args:
        sites: by role, what inference gets wrong: a pattern of module names, with the part of a fused projection; None
            for a role that nothing plays.
        pooling: how a text is read from its tokens; None takes the last token of a decoder or an encoder-decoder, the
            first of an encoder.
        causal: whether a token sees no later one; None takes what `transformers` has no masked language model of.
        shared_layers: one set of weights serves every layer (ALBERT).
        streams: residual streams, side by side in a hidden state (the Reformer has two).
        static: what is computed follows from shapes alone, so that it can be counted without weights.
        sentinels: ids that random weights get beside a tokenizer's own (T5).
        masks: attention takes a mask that says for each query which keys it sees.
        model: a class in place of the one that `transformers` would take.
        refused: why no backbone can be made of it.
    """

    sites: Mapping[str, Site | None] = field(default_factory=dict)
    pooling: Pooling | None = None
    causal: bool | None = None
    shared_layers: bool = False
    streams: int = 1
    static: bool = True
    sentinels: int = 0
    masks: bool = False
    model: type[PreTrainedModel] | None = None
    refused: str = ""


@dataclass(frozen=True)
class Family:
    """A row with what it leaves open inferred from the configuration."""

    row: Row
    pooling: Pooling
    causal: bool

    @property
    def shared_layers(self) -> bool:
        """One set of weights serves every layer."""
        return self.row.shared_layers

    @property
    def streams(self) -> int:
        """Residual streams in a hidden state."""
        return self.row.streams

    @property
    def static(self) -> bool:
        """Whether shapes alone say what is computed."""
        return self.row.static


def _sites(**patterns: str | None) -> dict[str, Site | None]:
    return {role: Site(pattern) if pattern else None for role, pattern in patterns.items()}


def _fused(pattern: str) -> dict[str, Site | None]:
    """Roles of a projection whose output is queries, keys and values side by side, known without numbers."""
    return {role: Site(pattern, (index, 3)) for index, role in enumerate(("query", "key", "value"))}


_ENCODER = Row(masks=True)
_T5 = Row(sentinels=100)
_ALBERT_LAYER = r"encoder\.albert_layer_groups\.\d+\.albert_layers\.\d+"
_REFORMER_LAYER = r"encoder\.layers\.\d+"
_SHORTER = "the states of its middle layers have fewer positions than the text has tokens"
_BY_LANGUAGE = "its blocks have adapters of their own for each language, which a text would have to name"

ROWS: dict[str, Row] = {
    "bert": _ENCODER,
    "roberta": _ENCODER,
    "xlm-roberta": _ENCODER,
    "electra": _ENCODER,
    "distilbert": _ENCODER,
    "albert": Row(_sites(block=_ALBERT_LAYER), shared_layers=True, masks=True),
    "modernbert": Row(_fused(r"layers\.\d+\.attn\.Wqkv")),
    "gpt2": Row(_fused(r"h\.\d+\.attn\.c_attn")),
    # queries, keys and values of the tokens with global attention have weights of their own
    "longformer": Row(static=False),
    # hashed attention has one projection for queries and keys; its sublayers end in modules of their own
    "reformer": Row(
        _sites(
            query=rf"{_REFORMER_LAYER}\.attention\.self_attention\.query(_key)?",
            key=rf"{_REFORMER_LAYER}\.attention\.self_attention\.key",
            value=rf"{_REFORMER_LAYER}\.attention\.self_attention\.value",
            attn_out=rf"{_REFORMER_LAYER}\.attention\.output\.dense",
            attn_residual=rf"{_REFORMER_LAYER}\.attention\.output",
            mlp_residual=rf"{_REFORMER_LAYER}\.feed_forward\.output",
            linear=None,
        ),
        streams=2,
        static=False,
        model=ReformerModel,
    ),
    "xlnet": Row(pooling="last", causal=False),
    "bert-generation": Row(causal=False),
    **dict.fromkeys(("t5", "mt5", "umt5"), _T5),
    "funnel": Row(refused=_SHORTER),
    "canine": Row(refused=_SHORTER),
    "xmod": Row(refused=_BY_LANGUAGE),
}


def family_of(config: PreTrainedConfig, row: Row | None = None) -> Family:
    """What is known of the family of `config`; `row` goes before that of this file.

    Raises:
        UsageError: a family that no backbone can be made of.
    """
    kind = config.model_type
    row = row or ROWS.get(kind, Row())
    if row.refused:
        raise UsageError(f"{kind} cannot be a backbone: {row.refused}.")
    both = bool(getattr(config, "is_encoder_decoder", False))
    causal = row.causal
    if causal is None:
        sees_all = kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES or getattr(config, "use_bidirectional_attention", False)
        causal = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and not both and not sees_all
    return Family(row, row.pooling or ("last" if causal or both else "cls"), causal)

"""What is known of a family beyond what its configuration, its code and a forward pass tell: a row each.

A row is a correction. What it leaves open is inferred: sites (`inference.py`), and here, from the configuration, what a
family reads with and which way it looks. Rows are keyed by the `model_type` of a `transformers` configuration; a
family from elsewhere comes with a row of its own (`TransformersBackbone(family=...)`).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from lm_lab.backbones.pooling import Pooling
from lm_lab.backbones.reformer import ReformerModel
from lm_lab.described import described
from lm_lab.errors import UsageError


@dataclass(frozen=True)
class Site:
    """Where a role is played.

    Args:
        pattern: matched against whole module names.
        part: (index, of) of the output that it stands for; None is all of it.
        by_head: the parts are interleaved by head.
    """

    pattern: str
    part: tuple[int, int] | None = None
    by_head: bool = False


class Correction:
    """What a configuration may name by its class path, from any package: a `FamilyRow`."""


@dataclass(frozen=True)
class FamilyRow(Correction):
    """One family.

    Args:
        sites: by role, what inference gets wrong: a pattern of module names, with the part of a fused projection; None
            for a role that nothing plays. A word is a `Site` of that pattern.
        pooling: how a text is read from its tokens; None takes the last token of a decoder or an encoder-decoder, the
            first of an encoder.
        causal: whether a token sees no later one; None takes what `transformers` has no masked language model of.
        shared_layers: one set of weights serves every layer (ALBERT).
        streams: residual streams, side by side in a hidden state (the Reformer has two).
        static: what is computed follows from shapes alone, so that it can be counted without weights.
        sentinels: ids that random weights get beside a tokenizer's own (T5).
        masks: attention takes a mask that says for each query which keys it sees.
        behind: the model gives the states behind its blocks alone, so that the embeddings' are found elsewhere.
        reach: how many tokens to either side an embedding is made of (MobileBERT's are trigrams).
        refused: why no backbone can be made of it.

    A subclass may set `model`, a class in place of the one that `transformers` would take.
    """

    model: ClassVar[type[PreTrainedModel] | None] = None

    sites: Mapping[str, Site | str | None] = field(default_factory=dict)
    pooling: Pooling | None = None
    causal: bool | None = None
    shared_layers: bool = False
    streams: int = 1
    static: bool = True
    sentinels: int = 0
    masks: bool = False
    behind: bool = False
    reach: int = 0
    refused: str = ""

    def site(self, role: str) -> Site | None:
        """Where a role of `sites` is played."""
        given = self.sites[role]
        return Site(given) if isinstance(given, str) else given

    @property
    def description(self) -> dict[str, Any]:
        """The row as a configuration names it."""
        own = {item.name: getattr(self, item.name) for item in fields(self)}
        sites = {role: asdict(site) if isinstance(site, Site) else site for role, site in self.sites.items()}
        return described(type(self), own | {"sites": sites})


class ReformerRow(FamilyRow):
    """Of the Reformer, whose layers are differentiated otherwise here."""

    model = ReformerModel


@dataclass(frozen=True)
class Family:
    """A row with what it leaves open inferred from the configuration."""

    row: FamilyRow
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


def _fused(pattern: str, by_head: bool = False) -> dict[str, Site]:
    """Roles of a projection whose output is queries, keys and values, known without numbers."""
    return {role: Site(pattern, (index, 3), by_head) for index, role in enumerate(("query", "key", "value"))}


_ENCODER = FamilyRow(masks=True)
_T5 = FamilyRow(sentinels=100)
_ALBERT_LAYER = r"encoder\.albert_layer_groups\.\d+\.albert_layers\.\d+"
_REFORMER_LAYER = r"encoder\.layers\.\d+"
_RECURRENT = FamilyRow(behind=True)
_SHORTER = "the states of its middle layers have fewer positions than the text has tokens"
_KERNEL = "its attention is a CUDA kernel that transformers fetches when it runs, and nothing without it"
_PADDING = "padding changes what it makes of a text"
_RANGES = "it keeps running ranges of its activations, which no delta stores"
_SCORES = "its model gives scores of tokens, no states"
_CARRIES = "it keeps the states of one text in its modules, which then cannot be copied"
_BY_LANGUAGE = "its blocks have adapters of their own for each language, which a text would have to name"

ROWS: dict[str, FamilyRow] = {
    "bert": _ENCODER,
    "roberta": _ENCODER,
    "xlm-roberta": _ENCODER,
    "electra": _ENCODER,
    "distilbert": _ENCODER,
    "albert": FamilyRow({"block": _ALBERT_LAYER}, shared_layers=True, masks=True),
    "modernbert": FamilyRow(_fused(r"layers\.\d+\.attn\.Wqkv")),
    "gpt2": FamilyRow(_fused(r"h\.\d+\.attn\.c_attn")),
    # queries, keys and values of the tokens with global attention have weights of their own
    "longformer": FamilyRow(static=False),
    # hashed attention has one projection for queries and keys; its sublayers end in modules of their own
    "reformer": ReformerRow(
        {
            "query": rf"{_REFORMER_LAYER}\.attention\.self_attention\.query(_key)?",
            "key": rf"{_REFORMER_LAYER}\.attention\.self_attention\.key",
            "value": rf"{_REFORMER_LAYER}\.attention\.self_attention\.value",
            "attn_out": rf"{_REFORMER_LAYER}\.attention\.output\.dense",
            "attn_residual": rf"{_REFORMER_LAYER}\.attention\.output",
            "mlp_residual": rf"{_REFORMER_LAYER}\.feed_forward\.output",
            "linear": None,
        },
        streams=2,
        static=False,
    ),
    "xlnet": FamilyRow(pooling="last", causal=False),
    "bert-generation": FamilyRow(causal=False),
    "deberta": FamilyRow(_fused(r"encoder\.layer\.\d+\.attention\.self\.in_proj", by_head=True)),
    **dict.fromkeys(("t5", "mt5", "umt5"), _T5),
    **dict.fromkeys(("mamba", "mamba2", "falcon_mamba", "rwkv"), _RECURRENT),
    **dict.fromkeys(("funnel", "canine"), FamilyRow(refused=_SHORTER)),
    **dict.fromkeys(("mra", "yoso"), FamilyRow(refused=_KERNEL)),
    "convbert": FamilyRow(refused=f"{_PADDING}: its convolutions reach it"),
    "nystromformer": FamilyRow(refused=f"{_PADDING}: its landmarks are means over it too"),
    "ibert": FamilyRow(refused=_RANGES),
    "mobilebert": FamilyRow(reach=1),
    "fsmt": FamilyRow(refused=_SCORES),
    "recurrent_gemma": FamilyRow(refused=_CARRIES),
    "xmod": FamilyRow(refused=_BY_LANGUAGE),
}


def family_of(config: PreTrainedConfig, row: FamilyRow | None = None) -> Family:
    """What is known of the family of `config`; `row` goes before that of this file.

    Raises:
        UsageError: a family that no backbone can be made of.
    """
    kind = config.model_type
    row = row or ROWS.get(kind, FamilyRow())
    if row.refused:
        raise UsageError(
            f"{kind} cannot be a backbone: {row.refused}. To use it all the same, give a row of your own "
            "(backbone.family; docs/backbones.md)."
        )
    both = bool(getattr(config, "is_encoder_decoder", False))
    causal = row.causal
    if causal is None:
        sees_all = kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES or getattr(config, "use_bidirectional_attention", False)
        causal = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and not both and not sees_all
    return Family(row, row.pooling or ("last" if causal or both else "cls"), causal)

"""The families of backbones: a row each, from role to the pattern of module names (`sites.py` lists the roles).

Rows are keyed by the `model_type` of a `transformers` configuration.
"""

from typing import Any

from lm_lab.backbones.pooling import Pooling
from lm_lab.backbones.sites import Family, Site
from lm_lab.errors import UsageError


def _family(
    pooling: Pooling,
    /,
    *,
    shared_layers: bool = False,
    causal: bool = False,
    streams: int = 1,
    static: bool = True,
    **sites: str | Site,
) -> Family:
    rows = {role: Site(site) if isinstance(site, str) else site for role, site in sites.items()}
    return Family(pooling, rows, shared_layers, causal, streams, static)


def _fused(pattern: str) -> dict[str, Any]:
    """Roles of a projection whose output is queries, keys and values side by side."""
    return {
        "qkv": pattern,
        "query": Site(pattern, (0, 3)),
        "key": Site(pattern, (1, 3)),
        "value": Site(pattern, (2, 3)),
    }


_LAYER = r"encoder\.layer\.\d+"
_BERT = _family(
    "cls",
    block=_LAYER,
    embeddings=r"embeddings|embeddings_project",
    norm=r".*\.LayerNorm",
    attention=rf"{_LAYER}\.attention\.self",
    query=rf"{_LAYER}\.attention\.self\.query",
    key=rf"{_LAYER}\.attention\.self\.key",
    value=rf"{_LAYER}\.attention\.self\.value",
    attn_out=rf"{_LAYER}\.attention\.output\.dense",
    mlp_in=rf"{_LAYER}\.intermediate\.dense",
    mlp_out=rf"{_LAYER}\.output\.dense",
    attn_residual=rf"{_LAYER}\.attention\.output\.dropout",
    mlp_residual=rf"{_LAYER}\.output\.dropout",
)
_AS_BERT = {role: site for role, site in _BERT.sites.items() if role != "attention"}
# queries, keys and values of the tokens with global attention have weights of their own
_LONGFORMER = Family(
    "cls",
    _AS_BERT | {role: Site(rf"{_LAYER}\.attention\.self\.{role}(_global)?") for role in ("query", "key", "value")},
    static=False,
)
_DEBERTA = Family(
    "cls",
    _AS_BERT
    | {role: Site(rf"{_LAYER}\.attention\.self\.{role}_proj") for role in ("query", "key", "value")}
    | {"embeddings": Site(r"embeddings|encoder\.rel_embeddings|encoder\.LayerNorm")},
)
_REFORMER_LAYER = r"encoder\.layers\.\d+"
_REFORMER_ATTENTION = rf"{_REFORMER_LAYER}\.attention"
_REFORMER = _family(
    "cls",
    streams=2,
    static=False,
    block=_REFORMER_LAYER,
    embeddings=r"embeddings",
    final_norm=r"encoder\.layer_norm",
    norm=r".*layer_norm",
    query=rf"{_REFORMER_ATTENTION}\.self_attention\.query(_key)?",  # hashed attention has one projection for both
    key=rf"{_REFORMER_ATTENTION}\.self_attention\.key",
    value=rf"{_REFORMER_ATTENTION}\.self_attention\.value",
    attn_out=rf"{_REFORMER_ATTENTION}\.output\.dense",
    mlp_in=rf"{_REFORMER_LAYER}\.feed_forward\.dense\.dense",
    mlp_out=rf"{_REFORMER_LAYER}\.feed_forward\.output\.dense",
    attn_residual=rf"{_REFORMER_ATTENTION}\.output",
    mlp_residual=rf"{_REFORMER_LAYER}\.feed_forward\.output",
)
_DISTIL = r"transformer\.layer\.\d+"
_DISTILBERT = _family(
    "cls",
    block=_DISTIL,
    embeddings=r"embeddings",
    norm=r".*(LayerNorm|layer_norm)",
    attention=rf"{_DISTIL}\.attention",
    query=rf"{_DISTIL}\.attention\.q_lin",
    key=rf"{_DISTIL}\.attention\.k_lin",
    value=rf"{_DISTIL}\.attention\.v_lin",
    attn_out=rf"{_DISTIL}\.attention\.out_lin",
    mlp_in=rf"{_DISTIL}\.ffn\.lin1",
    mlp_out=rf"{_DISTIL}\.ffn\.lin2",
    attn_residual=rf"{_DISTIL}\.attention\.out_lin",
    mlp_residual=rf"{_DISTIL}\.ffn\.dropout",
)
_ALBERT_LAYER = r"encoder\.albert_layer_groups\.\d+\.albert_layers\.\d+"
_ALBERT = _family(
    "cls",
    shared_layers=True,
    block=_ALBERT_LAYER,
    embeddings=r"embeddings|encoder\.embedding_hidden_mapping_in",
    norm=r".*(LayerNorm|layer_norm)",
    attention=rf"{_ALBERT_LAYER}\.attention",
    query=rf"{_ALBERT_LAYER}\.attention\.query",
    key=rf"{_ALBERT_LAYER}\.attention\.key",
    value=rf"{_ALBERT_LAYER}\.attention\.value",
    attn_out=rf"{_ALBERT_LAYER}\.attention\.dense",
    mlp_in=rf"{_ALBERT_LAYER}\.ffn",
    mlp_out=rf"{_ALBERT_LAYER}\.ffn_output",
    attn_residual=rf"{_ALBERT_LAYER}\.attention\.output_dropout",
    mlp_residual=rf"{_ALBERT_LAYER}\.ffn_output",
)
_MODERN = r"layers\.\d+"
_MODERNBERT = _family(
    "cls",
    block=_MODERN,
    embeddings=r"embeddings",
    final_norm=r"final_norm",
    # the first block's attn_norm is an identity: the embedding has its own
    norm=r"embeddings\.norm|layers\.\d+\.mlp_norm|layers\.[1-9]\d*\.attn_norm|final_norm",
    attention=rf"{_MODERN}\.attn",
    **_fused(rf"{_MODERN}\.attn\.Wqkv"),
    attn_out=rf"{_MODERN}\.attn\.Wo",
    mlp_in=rf"{_MODERN}\.mlp\.Wi",
    mlp_out=rf"{_MODERN}\.mlp\.Wo",
    attn_residual=rf"{_MODERN}\.attn\.out_drop",
    mlp_residual=rf"{_MODERN}\.mlp\.Wo",
)
_GPT2 = _family(
    "last",
    causal=True,
    block=r"h\.\d+",
    embeddings=r"wte|wpe",
    final_norm=r"ln_f",
    norm=r"h\.\d+\.ln_\d|ln_f",
    attention=r"h\.\d+\.attn",
    **_fused(r"h\.\d+\.attn\.c_attn"),
    attn_out=r"h\.\d+\.attn\.c_proj",
    mlp_in=r"h\.\d+\.mlp\.c_fc",
    mlp_out=r"h\.\d+\.mlp\.c_proj",
    attn_residual=r"h\.\d+\.attn\.resid_dropout",
    mlp_residual=r"h\.\d+\.mlp\.dropout",
)
_LLAMA = _family(
    "last",
    causal=True,
    block=r"layers\.\d+",
    embeddings=r"embed_tokens",
    final_norm=r"norm",
    norm=r"layers\.\d+\.(input|post_attention)_layernorm|norm",
    attention=r"layers\.\d+\.self_attn",
    query=r"layers\.\d+\.self_attn\.q_proj",
    key=r"layers\.\d+\.self_attn\.k_proj",
    value=r"layers\.\d+\.self_attn\.v_proj",
    attn_out=r"layers\.\d+\.self_attn\.o_proj",
    mlp_in=r"layers\.\d+\.mlp\.up_proj",
    mlp_gate=r"layers\.\d+\.mlp\.gate_proj",
    mlp_out=r"layers\.\d+\.mlp\.down_proj",
    attn_residual=r"layers\.\d+\.self_attn\.o_proj",
    mlp_residual=r"layers\.\d+\.mlp\.down_proj",
)
# XLNet's attention keeps its projections as bare parameters and uses one dropout twice: no site inside it
_XLNET = _family(
    "last",
    block=r"layer\.\d+",
    embeddings=r"word_embedding",
    norm=r"layer\.\d+\.(rel_attn|ff)\.layer_norm",
    mlp_in=r"layer\.\d+\.ff\.layer_1",
    mlp_out=r"layer\.\d+\.ff\.layer_2",
    mlp_residual=r"layer\.\d+\.ff\.layer_2",
)
_T5_BLOCK = r"(encoder|decoder)\.block\.\d+"
_T5_ATTENTION = rf"{_T5_BLOCK}\.layer\.\d\.(SelfAttention|EncDecAttention)"
_T5_MLP = rf"{_T5_BLOCK}\.layer\.\d\.DenseReluDense"
_T5 = _family(
    "last",
    block=_T5_BLOCK,
    embeddings=r"shared|encoder\.final_layer_norm",  # the encoder's norm is below every decoder block
    final_norm=r"decoder\.final_layer_norm",
    norm=r".*layer_norm",
    attention=_T5_ATTENTION,
    query=rf"{_T5_ATTENTION}\.q",
    key=rf"{_T5_ATTENTION}\.k",
    value=rf"{_T5_ATTENTION}\.v",
    attn_out=rf"{_T5_ATTENTION}\.o",
    mlp_in=rf"{_T5_MLP}\.(wi|wi_1)",
    mlp_gate=rf"{_T5_MLP}\.wi_0",
    mlp_out=rf"{_T5_MLP}\.wo",
    attn_residual=r"encoder\.block\.\d+\.layer\.0\.dropout|decoder\.block\.\d+\.layer\.[01]\.dropout",
    mlp_residual=r"encoder\.block\.\d+\.layer\.1\.dropout|decoder\.block\.\d+\.layer\.2\.dropout",
)
_BART_LAYER = r"(encoder|decoder)\.layers\.\d+"
_BART_ATTENTION = rf"{_BART_LAYER}\.(self_attn|encoder_attn)"
_BART = _family(
    "last",
    block=_BART_LAYER,
    embeddings=r"shared|(encoder|decoder)\.(embed_tokens|embed_positions|layernorm_embedding)",
    norm=r".*(layer_norm|layernorm_embedding)",
    attention=_BART_ATTENTION,
    query=rf"{_BART_ATTENTION}\.q_proj",
    key=rf"{_BART_ATTENTION}\.k_proj",
    value=rf"{_BART_ATTENTION}\.v_proj",
    attn_out=rf"{_BART_ATTENTION}\.out_proj",
    mlp_in=rf"{_BART_LAYER}\.fc1",
    mlp_out=rf"{_BART_LAYER}\.fc2",
    attn_residual=rf"{_BART_ATTENTION}\.out_proj",
    mlp_residual=rf"{_BART_LAYER}\.fc2",
)

FAMILIES: dict[str, Family] = {
    "bert": _BERT,
    "roberta": _BERT,
    "electra": _BERT,
    "distilbert": _DISTILBERT,
    "albert": _ALBERT,
    "modernbert": _MODERNBERT,
    "gpt2": _GPT2,
    "llama": _LLAMA,
    "deberta-v2": _DEBERTA,
    "xlnet": _XLNET,
    "t5": _T5,
    "bart": _BART,
    "longformer": _LONGFORMER,
    "reformer": _REFORMER,
}


def family_of(model_type: str) -> Family:
    """The row of `model_type`, the name in a `transformers` configuration.

    Raises:
        UsageError: for a family without a row.
    """
    if model_type not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise UsageError(
            f"the family '{model_type}' has no row in lm_lab/backbones/families.py; the families with one: {known}. "
            "Add a row: docs/extending.md shows how."
        )
    return FAMILIES[model_type]

"""Where a strategy may act: role -> module pattern, a row for each family.

A strategy asks for a role ("query", "mlp_out") and never for a family. A fused projection is one module that
plays several roles, each with its slice of the output.

Roles:
    block           one transformer layer, lowest first
    embeddings      what turns token ids into the first hidden state
    final_norm      the norm after the last block, where the family has one
    norm            every LayerNorm or RMSNorm, the embedding's included
    query key value qkv   attention projections; qkv is the whole fused projection
    attn_out mlp_in mlp_gate mlp_out    the other linear layers of a block
    attn_residual mlp_residual          the module whose output is added to the residual stream: the sublayer's
                                        dropout where it is a module, else its last projection (Houlsby's place)
"""

import re
from dataclasses import dataclass

from torch import nn

from lm_lab.backbones.pooling import Pooling
from lm_lab.errors import UsageError


@dataclass(frozen=True)
class Site:
    """A pattern matched against whole module names, and the part (index, of) of the output it stands for."""

    pattern: str
    part: tuple[int, int] | None = None


@dataclass(frozen=True)
class Family:
    """The row of one family: its natural pooling and its sites by role."""

    pooling: Pooling
    sites: dict[str, Site]
    shared_layers: bool = False  # one set of weights serves every layer (ALBERT)


@dataclass(frozen=True)
class Match:
    """A module that plays a role: its name in the model, itself, and the slice of its output (None: all)."""

    name: str
    module: nn.Module
    part: slice | None = None


def _family(pooling: Pooling, shared_layers: bool = False, /, **sites: str | Site) -> Family:
    rows = {role: Site(site) if isinstance(site, str) else site for role, site in sites.items()}
    return Family(pooling, rows, shared_layers)


def _fused(pattern: str) -> dict[str, str | Site]:
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
    query=rf"{_LAYER}\.attention\.self\.query",
    key=rf"{_LAYER}\.attention\.self\.key",
    value=rf"{_LAYER}\.attention\.self\.value",
    attn_out=rf"{_LAYER}\.attention\.output\.dense",
    mlp_in=rf"{_LAYER}\.intermediate\.dense",
    mlp_out=rf"{_LAYER}\.output\.dense",
    attn_residual=rf"{_LAYER}\.attention\.output\.dropout",
    mlp_residual=rf"{_LAYER}\.output\.dropout",
)
_DISTIL = r"transformer\.layer\.\d+"
_DISTILBERT = _family(
    "cls",
    block=_DISTIL,
    embeddings=r"embeddings",
    norm=r".*(LayerNorm|layer_norm)",
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
    True,
    block=_ALBERT_LAYER,
    embeddings=r"embeddings|encoder\.embedding_hidden_mapping_in",
    norm=r".*(LayerNorm|layer_norm)",
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
    **_fused(rf"{_MODERN}\.attn\.Wqkv"),
    attn_out=rf"{_MODERN}\.attn\.Wo",
    mlp_in=rf"{_MODERN}\.mlp\.Wi",
    mlp_out=rf"{_MODERN}\.mlp\.Wo",
    attn_residual=rf"{_MODERN}\.attn\.out_drop",
    mlp_residual=rf"{_MODERN}\.mlp\.Wo",
)
_GPT2 = _family(
    "last",
    block=r"h\.\d+",
    embeddings=r"wte|wpe",
    final_norm=r"ln_f",
    norm=r"h\.\d+\.ln_\d|ln_f",
    **_fused(r"h\.\d+\.attn\.c_attn"),
    attn_out=r"h\.\d+\.attn\.c_proj",
    mlp_in=r"h\.\d+\.mlp\.c_fc",
    mlp_out=r"h\.\d+\.mlp\.c_proj",
    attn_residual=r"h\.\d+\.attn\.resid_dropout",
    mlp_residual=r"h\.\d+\.mlp\.dropout",
)
_LLAMA = _family(
    "last",
    block=r"layers\.\d+",
    embeddings=r"embed_tokens",
    final_norm=r"norm",
    norm=r"layers\.\d+\.(input|post_attention)_layernorm|norm",
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

FAMILIES: dict[str, Family] = {
    "bert": _BERT,
    "roberta": _BERT,
    "electra": _BERT,
    "distilbert": _DISTILBERT,
    "albert": _ALBERT,
    "modernbert": _MODERNBERT,
    "gpt2": _GPT2,
    "llama": _LLAMA,
}


def family_of(model_type: str) -> Family:
    """The row of `model_type`, the name in a `transformers` configuration.

    Raises:
        UsageError: for a family without a row.
    """
    if model_type not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise UsageError(
            f"the family '{model_type}' has no row in lm_lab/backbones/sites.py; the families with one: {known}. "
            "Add a row: docs/extending.md shows how."
        )
    return FAMILIES[model_type]


def find(model: nn.Module, model_type: str, role: str) -> list[Match]:
    """Modules of `model` that play `role`, in the order of the model's own list.

    Raises:
        UsageError: naming the family, the role and the roles the family has.
    """
    family = family_of(model_type)
    if role not in family.sites:
        raise UsageError(
            f"the family '{model_type}' has no site for the role '{role}'; it has: {', '.join(sorted(family.sites))}"
        )
    site = family.sites[role]
    return [
        Match(name, module, _slice(module, site.part))
        for name, module in model.named_modules()
        if re.fullmatch(site.pattern, name)
    ]


def _slice(module: nn.Module, part: tuple[int, int] | None) -> slice | None:
    if part is None:
        return None
    index, of = part
    width = linear_sizes(module)[1] // of
    return slice(index * width, (index + 1) * width)


def linear_sizes(module: nn.Module) -> tuple[int, int]:
    """(inputs, outputs) of a linear layer, `transformers`' Conv1D (GPT-2, weight stored transposed) included."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    weight = module.get_parameter("weight")  # Conv1D: (inputs, outputs)
    return weight.shape[0], weight.shape[1]

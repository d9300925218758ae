"""Architectures to pretrain from random weights, by family and size: `new:bert-mini`, `new:t5-small`.

    size     layers    width    (Turc et al. 2019, https://arxiv.org/abs/1908.08962; heads are 64 wide, inner 4 x width)
    tiny     2         128
    mini     4         256
    small    4         512

An encoder-decoder has so many layers in either part. Vocabulary and special tokens are those of the tokenizer that is
given beside it. Rows of 512 tokens are the longest where positions are learned; of 4096 in a Longformer or Reformer,
whose attention reaches 64 tokens at once.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from transformers import AutoConfig, PreTrainedConfig

from lm_lab.errors import UsageError

PREFIX = "new:"
_POSITIONS, _LONG = 512, 4096
_NEAR = 64  # tokens that attention for long texts reaches at once


class Size(NamedTuple):
    """Layers and width of a model."""

    layers: int
    width: int

    @property
    def heads(self) -> int:
        """Attention heads, 64 wide each."""
        return self.width // 64


SIZES = {"tiny": Size(2, 128), "mini": Size(4, 256), "small": Size(4, 512)}


def _bert(size: Size) -> dict[str, Any]:
    return {
        "num_hidden_layers": size.layers,
        "hidden_size": size.width,
        "num_attention_heads": size.heads,
        "intermediate_size": 4 * size.width,
        "max_position_embeddings": _POSITIONS,
    }


def _llama(size: Size) -> dict[str, Any]:
    inner = 64 * round(8 * size.width / 3 / 64)  # three matrices in place of two (Shazeer 2020)
    return _bert(size) | {"num_key_value_heads": size.heads, "intermediate_size": inner}


def _gpt2(size: Size) -> dict[str, Any]:
    return {"n_layer": size.layers, "n_embd": size.width, "n_head": size.heads, "n_positions": _POSITIONS}


def _xlnet(size: Size) -> dict[str, Any]:
    return {"n_layer": size.layers, "d_model": size.width, "n_head": size.heads, "d_inner": 4 * size.width}


def _t5(size: Size) -> dict[str, Any]:
    return {
        "num_layers": size.layers,
        "d_model": size.width,
        "num_heads": size.heads,
        "d_kv": 64,
        "d_ff": 4 * size.width,
        "decoder_start_token_id": 0,
    }


def _bart(size: Size) -> dict[str, Any]:
    parts = {
        f"{part}_{name}": value
        for part in ("encoder", "decoder")
        for name, value in (("layers", size.layers), ("attention_heads", size.heads), ("ffn_dim", 4 * size.width))
    }
    return parts | {"d_model": size.width, "max_position_embeddings": _POSITIONS}


def _longformer(size: Size) -> dict[str, Any]:
    return _bert(size) | {"attention_window": _NEAR, "max_position_embeddings": _LONG + 2, "type_vocab_size": 1}


def _reformer(size: Size) -> dict[str, Any]:
    return {
        "attn_layers": ["local", "lsh"] * (size.layers // 2),
        "hidden_size": size.width,
        "num_attention_heads": size.heads,
        "feed_forward_size": 4 * size.width,
        "local_attn_chunk_length": _NEAR,
        "lsh_attn_chunk_length": _NEAR,
        "axial_pos_embds": False,
        "max_position_embeddings": _LONG,
    }


ARCHITECTURES: dict[str, Callable[[Size], dict[str, Any]]] = {
    "bert": _bert,
    "roberta": lambda size: _bert(size) | {"max_position_embeddings": _POSITIONS + 2, "type_vocab_size": 1},
    "albert": lambda size: _bert(size) | {"embedding_size": size.width // 2},
    "electra": lambda size: _bert(size) | {"embedding_size": min(128, size.width)},
    "gpt2": _gpt2,
    "llama": _llama,
    "xlnet": _xlnet,
    "t5": _t5,
    "bart": _bart,
    "longformer": _longformer,
    "reformer": _reformer,
}


def config_of(source: str) -> PreTrainedConfig:
    """The configuration that `new:FAMILY-SIZE` names.

    Raises:
        UsageError: there is no such family or size.
    """
    family, _, size = source.removeprefix(PREFIX).rpartition("-")
    if family not in ARCHITECTURES or size not in SIZES:
        raise UsageError(
            f"'{source}': expected {PREFIX}FAMILY-SIZE with one of {', '.join(ARCHITECTURES)} and one of "
            f"{', '.join(SIZES)}; another architecture is a configuration file."
        )
    return AutoConfig.for_model(family, **ARCHITECTURES[family](SIZES[size]))

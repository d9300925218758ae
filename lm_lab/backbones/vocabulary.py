"""A tokenizer's ids beside a model's embeddings."""

import warnings
from typing import Any

from transformers import PreTrainedConfig

from lm_lab.backbones.families import ROWS, FamilyRow
from lm_lab.errors import UsageError

_PADDED = 512  # rows more than ids, which models have for the sake of speed


def require_ids(tokenizer: Any, rows: int) -> None:
    """Raise `UsageError` if a tokenizer has more ids than there are `rows` of embeddings; warn if it has far fewer."""
    ids = max(tokenizer.get_vocab().values(), default=-1) + 1
    if ids > rows:
        raise UsageError(
            f"the tokenizer of '{tokenizer.name_or_path}' has {ids:,} ids, the embeddings {rows:,} rows: give the "
            "tokenizer that the weights were made with, or resize the embeddings (resize_token_embeddings) and save."
        )
    if rows - ids > max(_PADDED, rows // 10):
        warnings.warn(
            f"the tokenizer of '{tokenizer.name_or_path}' has {ids:,} ids, the embeddings {rows:,} rows: is it the one "
            "that the weights were made with?",
            stacklevel=2,
        )


def fit(config: PreTrainedConfig, tokenizer: Any) -> None:
    """Give a configuration of random weights the size and the special tokens of a tokenizer.

    The start token of a decoder stays what it was to the old ones: padding in T5, the end of a text in BART. A T5 gets
    100 ids more for sentinels, where the tokenizer has none.
    """
    found = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": _first(tokenizer.bos_token_id, tokenizer.cls_token_id),
        "eos_token_id": _first(tokenizer.eos_token_id, tokenizer.sep_token_id),
    }
    start = getattr(config, "decoder_start_token_id", None)
    role = next((name for name in found if start is not None and getattr(config, name, None) == start), None)
    own = "<extra_id_0>" in tokenizer.get_vocab()
    config.vocab_size = len(tokenizer) + (0 if own else ROWS.get(config.model_type, FamilyRow()).sentinels)
    for name, token in found.items():
        if getattr(config, name, None) is not None and token is not None:
            setattr(config, name, token)
    if role is not None:
        config.decoder_start_token_id = found[role]


def _first(*tokens: int | None) -> int | None:
    return next((token for token in tokens if token is not None), None)

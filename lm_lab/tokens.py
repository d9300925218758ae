"""What a tokenizer's special tokens are for, decided once."""

from typing import Any

from lm_lab.errors import UsageError


def end_token(tokenizer: Any) -> int:
    """What ends a text: the end token, else the separator. Raises `UsageError` if the tokenizer has neither."""
    for token in (tokenizer.eos_token_id, tokenizer.sep_token_id):
        if token is not None:
            return int(token)
    raise UsageError("this tokenizer has neither an end token nor a separator, so no text could end.")

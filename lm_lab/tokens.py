"""What a tokenizer's special tokens are for, and what a backbone may read of a token beside its id."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from lm_lab.errors import UsageError

Tokens = dict[str, Tensor]  # input_ids and attention_mask (b, t) of texts, padded on the right


class TokenInput(Protocol):
    """What is computed of each token's text: its characters, a picture of its glyph.

    Attributes:
        name: what the backbone's forward calls it.
        padding: the value behind the end of a text.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def padding(self) -> float: ...  # noqa: D102

    def values(self, tokens: Sequence[str]) -> np.ndarray:
        """(n, ...) of n different tokens: the characters of the text that each stands for, a special one's name."""
        ...


@dataclass(frozen=True)
class WordColumn:
    """What comes with the data, a whole number for each word of a text, such as the parents of a tree.

    Args:
        name: of the column, and what the backbone's forward calls it: (b, t), the number of each token's word.
        padding: for tokens that are no word's, and behind the end of a text.
        points: numbers are places of words, from 0, and -1 of none. Each becomes the place of that word's first token
            in the row; later tokens of a word point at its first. What points at no word, or at one that was cut off,
            gets `padding`.
    """

    name: str
    padding: int = -1
    points: bool = False


Asked = TokenInput | WordColumn
MARKED = WordColumn("marked", padding=0)  # 1 for the words that a task is about: its head reads it, no backbone does


def end_token(tokenizer: Any) -> int:
    """What ends a text: the end token, else the separator. Raises `UsageError` if the tokenizer has neither."""
    for token in (tokenizer.eos_token_id, tokenizer.sep_token_id):
        if token is not None:
            return int(token)
    raise UsageError("this tokenizer has neither an end token nor a separator, so no text could end.")

"""What every layer holds of a word in its sentence: the mean of the states of its tokens."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.data.encoding.tags import needs_space
from lm_lab.errors import UsageError

ROWS = 64  # sentences in a batch


@torch.no_grad()
def word_states(backbone: Backbone, sentences: Sequence[Sequence[str]], max_length: int = 512) -> list[Tensor]:
    """States of the words of each sentence.

    Args:
        backbone: in eval mode from here on.
        sentences: lists of words.
        max_length: longest sequence in tokens; a longer sentence is cut.

    Returns:
        A tensor (words, L + 1, d) a sentence, in fp32 on the CPU; a word that was cut off, or that is no token to this
        tokenizer, has nan.

    Raises:
        UsageError: the backbone asks for more than ids.
    """
    if backbone.asks:
        raise UsageError(f"{backbone.kind} asks for more of a word than its tokens, which these sentences do not have.")
    backbone.eval()
    order = np.argsort([len(words) for words in sentences], kind="stable")
    found: dict[int, Tensor] = {}
    for begin in range(0, len(order), ROWS):
        some = order[begin : begin + ROWS].tolist()
        found |= zip(some, _batch(backbone, [sentences[place] for place in some], max_length), strict=True)
    return [found[place] for place in range(len(sentences))]


def _batch(backbone: Backbone, sentences: Sequence[Sequence[str]], max_length: int) -> list[Tensor]:
    tokenizer, space = backbone.tokenizer, " " if needs_space(backbone.tokenizer) else ""
    encoded = tokenizer(
        [[space + word for word in words] for words in sentences],
        is_split_into_words=True,
        truncation=True,
        max_length=min(max_length, backbone.max_length),
        padding=True,
        padding_side="right",
        return_tensors="pt",
        verbose=False,
    )
    inputs = {name: value.to(backbone.device) for name, value in encoded.items() if name != "token_type_ids"}
    states = torch.stack(backbone(**inputs), dim=2).float().cpu()  # (b, t, L + 1, d)
    return [_means(states[row], encoded.word_ids(row), len(words)) for row, words in enumerate(sentences)]


def _means(states: Tensor, word_ids: Sequence[int | None], words: int) -> Tensor:
    """(t, L + 1, d) -> (words, L + 1, d)."""
    places = [place for place, word in enumerate(word_ids) if word is not None]
    index = torch.tensor([word for word in word_ids if word is not None], dtype=torch.long)
    sums = torch.zeros(words, *states.shape[1:]).index_add_(0, index, states[places])
    counts = torch.zeros(words).index_add_(0, index, torch.ones(len(places)))
    return sums / counts[:, None, None]  # nought by nought, nan, where a word has no token

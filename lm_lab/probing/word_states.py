"""What every layer holds of a word in its sentence: the mean of the states of its tokens."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.data.encoding import beside
from lm_lab.data.encoding.ragged import Ragged
from lm_lab.data.encoding.tags import needs_space
from lm_lab.errors import UsageError
from lm_lab.tokens import WordColumn

ROWS = 64  # sentences in a batch
Words = Sequence[str]


@torch.no_grad()
def word_states(backbone: Backbone, sentences: Sequence[Words], max_length: int = 512) -> Iterator[tuple[int, Tensor]]:
    """States of the words of each sentence, the shortest sentence first.

    Args:
        backbone: in eval mode from here on.
        sentences: lists of words.
        max_length: longest sequence in tokens; a longer sentence is cut.

    Yields:
        The number of a sentence and a tensor (words, L + 1, d), in fp32 on the CPU; a word that was cut off, or that is
        no token to this tokenizer, has nan.

    Raises:
        UsageError: the backbone reads numbers of each word, such as the parents of a tree.
    """
    if columns := [asked.name for asked in backbone.asks if isinstance(asked, WordColumn)]:
        raise UsageError(f"{backbone.kind} reads '{columns[0]}' of every word, which these sentences do not have.")
    backbone.eval()
    order = np.argsort([len(words) for words in sentences], kind="stable")
    for begin in range(0, len(order), ROWS):
        some = order[begin : begin + ROWS].tolist()
        yield from zip(some, _batch(backbone, [sentences[place] for place in some], max_length), strict=True)


def _batch(backbone: Backbone, sentences: Sequence[Words], max_length: int) -> list[Tensor]:
    tokenizer, space = backbone.tokenizer, " " if needs_space(backbone.tokenizer) else ""
    words = [[space + word for word in sentence] for sentence in sentences]
    length = min(max_length, backbone.max_length)
    encoded = tokenizer(words, is_split_into_words=True, truncation=True, max_length=length, verbose=False)
    inputs = {name: value.to(backbone.device) for name, value in _inputs(backbone, encoded, words).items()}
    states = torch.stack(backbone(**inputs), dim=2).float().cpu()  # (b, t, L + 1, d)
    return [_means(states[row], encoded.word_ids(row), len(own)) for row, own in enumerate(words)]


def _inputs(backbone: Backbone, encoded: Any, words: Sequence[Words]) -> dict[str, Tensor]:
    """Ids, their mask, and what the backbone asks for beside them."""
    pad = backbone.tokenizer.pad_token
    arrays = Ragged.arrays({"input_ids": [ids or [backbone.tokenizer.pad_token_id] for ids in encoded["input_ids"]]})
    if backbone.asks:
        places = (beside.of_words(*row, pad) for row in zip(encoded.encodings, words, strict=True))
        arrays |= beside.arrays(places)
    asked = beside.of(backbone.asks, arrays, arrays["offsets0"], {}, "sentences")
    return Ragged.of(arrays, beside=asked).pad(range(len(words)), backbone.tokenizer.pad_token_id)


def _means(states: Tensor, word_ids: Sequence[int | None], words: int) -> Tensor:
    """(t, L + 1, d) -> (words, L + 1, d)."""
    places = [place for place, word in enumerate(word_ids) if word is not None]
    index = torch.tensor([word for word in word_ids if word is not None], dtype=torch.long)
    sums = torch.zeros(words, *states.shape[1:]).index_add_(0, index, states[places])
    counts = torch.zeros(words).index_add_(0, index, torch.ones(len(places)))
    return sums / counts[:, None, None]  # nought by nought, nan, where a word has no token

"""Tagged words as tokens: where the first token of each word is, with any fast tokenizer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch.utils.data import Dataset

from lm_lab.data.encoding import beside
from lm_lab.data.encoding.encoding import Encoding
from lm_lab.data.encoding.ragged import Arrays, Ragged, flat, offsets
from lm_lab.data.reading.tagged import TaggedRows
from lm_lab.tasks.tags import IGNORED, LOST


class EncodedTags(Dataset[int]):
    """Encoded sentences; an item is its own position, and `collate` makes the batch.

    Args:
        tokens: the tokens of each sentence.
        first: (words,) position of each word's first token, -1 where it has none.
        rows: what was encoded.
        outside: the id of O, in place of tags that are not known.
        pad_id: id that fills a batch up.
    """

    def __init__(self, tokens: Ragged, first: np.ndarray, rows: TaggedRows, outside: int, pad_id: int) -> None:
        self.tokens, self.rows, self.pad_id = tokens, rows, pad_id
        self.first = Ragged(first, offsets([len(words) for words in rows.words]), None)
        self.tags = np.full(len(first), outside) if rows.tags is None else flat(rows.tags, np.int64)
        self.ids = torch.from_numpy(rows.ids).long()
        self.lengths = tokens.lengths

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> int:
        return index

    def collate(self, index: list[int]) -> dict[str, Any]:
        """A batch: `texts`, one of them, padded (b, t); `first` and `labels` (b, w) as in `TagTask`; `ids` (b,)."""
        mask = self.first.mask(index)
        first = self.first.spread(self.first.ids, index, mask, LOST)
        labels = self.first.spread(self.tags, index, mask, IGNORED)
        texts = [self.tokens.pad(index, self.pad_id)]
        return {"texts": texts, "first": first, "labels": labels, "ids": self.ids[index]}


def encode_tags(rows: TaggedRows, outside: int, encoding: Encoding) -> EncodedTags:
    """Encode rows, from the cache where they were encoded before. Warns with counts if words have no token."""
    arrays = encoding.cached(encoding.fingerprint(rows.content(), "tags"), lambda: _encode(rows, encoding))
    total = f"of {len(arrays['first']):,} words"
    if cut := int(arrays["truncated"][0]):
        rank_zero_warn(
            f"{rows.origin}: {cut} of {len(rows)} sentences are longer than {encoding.max_length} tokens and were "
            f"truncated: {arrays['truncated'][1]} {total} are lost, and count as O where they are scored"
        )
    if blank := int((arrays["first"] == LOST).sum() - arrays["truncated"][1]):
        rank_zero_warn(f"{rows.origin}: {blank} {total} are no token to this tokenizer, and count as O")
    asked = beside.of(encoding.asks, arrays, arrays["offsets0"], rows.beside, rows.origin)
    return EncodedTags(Ragged.of(arrays, "0", asked), arrays["first"], rows, outside, encoding.tokenizer.pad_token_id)


def first_tokens(word_ids: Sequence[int | None], words: int) -> list[int]:
    """Position of the first token of each of the words, -1 where it has none; `word_ids`: the word of each token."""
    first = [LOST] * words
    for position in range(len(word_ids) - 1, -1, -1):
        if (word := word_ids[position]) is not None:
            first[word] = position
    return first


def needs_space(tokenizer: Any) -> bool:
    """Whether a word needs a space in front to become the tokens that it has in running text.

    So it does for byte-level BPE (GPT-2, RoBERTa) unless the tokenizer puts it there by itself (`add_prefix_space`).
    """
    running = tokenizer(" a a", add_special_tokens=False)["input_ids"]
    alone, spaced = (_split(tokenizer, [words], add_special_tokens=False) for words in (["a", "a"], [" a", " a"]))
    return alone["input_ids"][0] != running and spaced["input_ids"][0] == running


def _encode(rows: TaggedRows, encoding: Encoding) -> Arrays:
    tokenizer, space = encoding.tokenizer, " " if needs_space(encoding.tokenizer) else ""
    words = [[space + word for word in sentence] for sentence in rows.words]
    found = encoding.truncating(words, is_split_into_words=True)
    first = [first_tokens(found.word_ids(i), len(sentence)) for i, sentence in enumerate(words)]
    cut = [i for i, sentence in enumerate(found.encodings) if sentence.overflowing]
    lost = sum(row.count(LOST) for row in (first[i] for i in cut))
    tokens = {name: [values or [_filler(tokenizer, name)] for values in found[name]] for name in found}
    truncated = np.array([len(cut), lost])
    arrays = Ragged.arrays(tokens) | {"first": flat(first, np.int32), "truncated": truncated}
    if not encoding.asks:
        return arrays
    places = (beside.of_words(*row, tokenizer.pad_token) for row in zip(found.encodings, words, strict=True))
    return arrays | beside.arrays(places)


def _split(tokenizer: Any, words: list[list[str]], **options: Any) -> Any:
    return tokenizer(words, is_split_into_words=True, verbose=False, **options)


def _filler(tokenizer: Any, name: str) -> int:
    """What stands in a sentence without any token, since a model reads one at least."""
    return tokenizer.pad_token_id if name == "input_ids" else 0

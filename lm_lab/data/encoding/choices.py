"""Each option of a question as a sequence of its own; of what is too long, the beginning of the context is left out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch.utils.data import Dataset

from lm_lab.data.encoding import beside
from lm_lab.data.encoding.encoding import Encoding
from lm_lab.data.encoding.ragged import Arrays, Ragged, offsets
from lm_lab.data.encoding.texts import sequences
from lm_lab.data.reading.choice_rows import ChoiceRows


class EncodedChoices(Dataset[int]):
    """Encoded questions; an item is its own position, and `collate` makes the batch."""

    def __init__(self, sequences: list[Ragged], rows: ChoiceRows, pad_id: int, fingerprint: str) -> None:
        self.sequences, self.rows, self.pad_id, self.fingerprint = sequences, rows, pad_id, fingerprint
        self.labels, self.ids = torch.from_numpy(rows.labels), torch.from_numpy(rows.ids).long()
        self.starts = offsets([len(options) for options in rows.options])
        tokens: np.ndarray = sum(sequence.lengths for sequence in sequences)  # type: ignore[assignment]
        self.lengths = np.maximum.reduceat(tokens, self.starts[:-1])  # of the longest option

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> int:
        return index

    def collate(self, index: list[int]) -> dict[str, Any]:
        """A batch of b questions with s options in all.

        Per sequence `input_ids`, `attention_mask` (s, t) padded to its longest; `counts`, `labels`, `ids` (b,);
        `options`, their texts; and what the rows have `beside`.
        """
        places = np.concatenate([np.arange(self.starts[i], self.starts[i + 1]) for i in index])
        return {
            "texts": [sequence.pad(places, self.pad_id) for sequence in self.sequences],
            "counts": torch.tensor([len(self.rows.options[i]) for i in index]),
            "options": [self.rows.options[i] for i in index],
            "labels": self.labels[index],
            "ids": self.ids[index],
        } | self.rows.beside(index)


def encode_choices(rows: ChoiceRows, encoding: Encoding) -> EncodedChoices:
    """Encode questions, from the cache where they were encoded before. Warns with a count if any was truncated."""
    fingerprint = encoding.fingerprint(rows.content(), "choices")
    arrays = encoding.cached(fingerprint, lambda: _encode(rows, encoding))
    if cut := int(arrays["truncated"][0]):
        rank_zero_warn(
            f"{rows.origin}: {cut} of {len(rows)} questions are longer than {encoding.max_length} tokens with one of "
            "their options; the beginning of the context was left out"
        )
    return EncodedChoices(
        sequences(arrays, encoding, {}, rows.origin), rows, encoding.tokenizer.pad_token_id, fingerprint
    )


def _encode(rows: ChoiceRows, encoding: Encoding) -> Arrays:
    counts = [len(options) for options in rows.options]
    contexts = [context for context, number in zip(rows.contexts, counts, strict=True) for _ in range(number)]
    columns = contexts, [option for options in rows.options for option in options]
    arrays: Arrays = {}
    truncated = np.zeros(len(contexts), dtype=bool)
    for sequence, texts in enumerate(encoding.inputs(columns)):
        context = next((place for place, column in enumerate(texts) if column is contexts), None)
        tokens, pieces, cut = _tokens(encoding, texts, context)
        arrays |= Ragged.arrays(tokens, str(sequence))
        if encoding.asks:
            arrays |= beside.arrays(map(beside.of_texts, pieces, zip(*texts, strict=True)), str(sequence))
        truncated |= cut
    return arrays | {"truncated": np.array([np.logical_or.reduceat(truncated, offsets(counts)[:-1]).sum()])}


def _tokens(encoding: Encoding, texts: tuple[list[str], ...], context: int | None) -> tuple[Any, list[Any], np.ndarray]:
    """Tokens of sequences, whose text number `context` is shortened; their encodings; (n,) bool says which were."""
    tokens = encoding.tokenizer(*texts, verbose=False)
    pieces = list(tokens.encodings)
    excess = np.array([len(ids) for ids in tokens["input_ids"]]) - encoding.max_length
    with _from_the_left(encoding.tokenizer):
        for i in np.flatnonzero(excess > 0).tolist():
            room = 0 if context is None else tokens.sequence_ids(i).count(context)
            # a context that is shorter than what must go: the option is too long by itself
            only = ("only_first", "only_second")[context or 0] if room > excess[i] else "longest_first"
            cut = encoding.tokenizer(*(t[i] for t in texts), truncation=only, max_length=encoding.max_length)
            for name in tokens:
                tokens[name][i] = cut[name]
            pieces[i] = cut.encodings[0]
    return tokens, pieces, excess > 0


@contextmanager
def _from_the_left(tokenizer: Any) -> Iterator[None]:
    side, tokenizer.truncation_side = tokenizer.truncation_side, "left"
    try:
        yield
    finally:
        tokenizer.truncation_side = side

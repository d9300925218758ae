"""Tokenised text with the ends of its sentences and documents kept: what `store` writes and `rows` reads."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from lm_lab.data.microworld import SEGMENT
from lm_lab.data.sentences import ends

_PIECE = 20_000  # characters that are tokenised as one, whole sentences of a document that is longer
_AT_ONCE = 2_000_000  # characters whose encodings are held at a time


class Shard(NamedTuple):
    """Documents in tokens, special ones left out. Documents of no token are left out too.

    Attributes:
        tokens: (n,) ids, all documents one behind the other.
        sentences: (s,) where each sentence ends in `tokens`.
        documents: (d,) where each document ends in `sentences`.
        firsts: (d,) tokens of a document's first segment, -1 for a document of one segment.
    """

    tokens: np.ndarray
    sentences: np.ndarray
    documents: np.ndarray
    firsts: np.ndarray


def tokenise(texts: Sequence[str], tokenizer: Any) -> Shard:
    """Tokenise documents on all cores; a tab in one ends its first segment.

    Args:
        texts: documents.
        tokenizer: a fast tokenizer of `transformers`.
    """
    backend = tokenizer.backend_tokenizer
    backend.no_truncation(), backend.no_padding()
    kind = np.uint16 if len(tokenizer) <= 1 << 16 else np.uint32
    return _join([_tokenise(group, backend, kind) for group in _groups(texts)], kind)


def _groups(texts: Sequence[str]) -> Iterator[list[str]]:
    group, size = list[str](), 0
    for text in texts:
        group.append(text)
        size += len(text)
        if size >= _AT_ONCE:
            yield group
            group, size = [], 0
    if group:
        yield group


def _tokenise(texts: Sequence[str], backend: Any, kind: type) -> Shard:
    pieces = [(place, segment, *piece) for place, text in enumerate(texts) for segment, piece in _pieces(text)]
    encodings = backend.encode_batch([text for _, _, text, _ in pieces], add_special_tokens=False)
    ids, sentences, size = list[np.ndarray](), list[np.ndarray](), 0
    counts, firsts = np.zeros((2, len(texts)), np.int64), np.full(len(texts), -1)
    for (place, segment, _, stops), encoding in zip(pieces, encodings, strict=True):
        found = size + _token_ends(stops, encoding)
        found = found[np.diff(found, prepend=size) > 0]  # a sentence of no token is none
        ids.append(np.array(encoding.ids, kind))
        sentences.append(found)
        size += len(encoding.ids)
        counts[:, place] += len(encoding.ids), len(found)
        if segment == 0 and SEGMENT in texts[place]:
            firsts[place] = counts[0, place]
    full = counts[0] > 0
    tokens = np.concatenate(ids) if ids else np.zeros(0, kind)
    return Shard(tokens, _concatenate(sentences), counts[1, full].cumsum(), firsts[full])


def _pieces(text: str) -> Iterator[tuple[int, tuple[str, list[int]]]]:
    """The segment of each piece, its text and where its sentences end in it."""
    for number, segment in enumerate(text.split(SEGMENT, maxsplit=1)):
        start, stops = 0, list[int]()
        for end in ends(segment):
            if stops and end - start > _PIECE:
                yield number, (segment[start : stops[-1]], [stop - start for stop in stops])
                start, stops = stops[-1], []
            stops.append(end)
        if stops or not start:
            yield number, (segment[start:], [stop - start for stop in stops])


def _token_ends(stops: Sequence[int], encoding: Any) -> np.ndarray:
    """Where sentences that end at these characters end in tokens."""
    begins = [begin for begin, _ in encoding.offsets]
    found = [bisect_right(begins, stop - 1) for stop in stops]
    return np.array([*found[:-1], len(begins)] if found else [], np.int64)


def _join(shards: Sequence[Shard], kind: type) -> Shard:
    """One shard of several."""
    tokens = np.concatenate([shard.tokens for shard in shards]) if shards else np.zeros(0, kind)
    return Shard(tokens, *join_ends(shards))


def join_ends(shards: Sequence[Shard]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`sentences`, `documents` and `firsts` of shards that follow one another."""
    tokens = np.cumsum([0, *(len(shard.tokens) for shard in shards)])
    sentences = np.cumsum([0, *(len(shard.sentences) for shard in shards)])
    return (
        _concatenate([shard.sentences + base for shard, base in zip(shards, tokens, strict=False)]),
        _concatenate([shard.documents + base for shard, base in zip(shards, sentences, strict=False)]),
        _concatenate([shard.firsts for shard in shards]),
    )


def _concatenate(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)

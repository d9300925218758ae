"""Tokenised text with the ends of its sentences and documents kept: what `store` writes and `rows` reads."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from lm_lab.data.corpora.annotated import AnnotatedText
from lm_lab.data.corpora.sentences import ends
from lm_lab.data.microworld import SEGMENT

_PIECE = 20_000  # characters that are tokenised as one, whole sentences of a document that is longer
_AT_ONCE = 2_000_000  # characters whose encodings are held at a time


class Shard(NamedTuple):
    """Documents in tokens, special ones left out. Documents of no token are left out too.

    Attributes:
        tokens: (n,) ids, all documents one behind the other.
        sentences: (s,) where each sentence ends in `tokens`.
        documents: (d,) where each document ends in `sentences`.
        firsts: (d,) tokens of a document's first segment, -1 for a document of one segment.
        units: (n,) 1 to 255, the same for the tokens of one span that came with the text and another for the next
            one; 0 outside spans. (0,) if no document has any.
    """

    tokens: np.ndarray
    sentences: np.ndarray
    documents: np.ndarray
    firsts: np.ndarray
    units: np.ndarray


def tokenise(texts: Sequence[str | AnnotatedText], tokenizer: Any) -> Shard:
    """Tokenise documents on all cores; a tab in one ends its first segment.

    Args:
        texts: documents, with or without spans.
        tokenizer: a fast tokenizer of `transformers`.
    """
    backend = tokenizer.backend_tokenizer
    backend.no_truncation(), backend.no_padding()
    kind = np.uint16 if len(tokenizer) <= 1 << 16 else np.uint32
    documents = [AnnotatedText(text) if isinstance(text, str) else text for text in texts]
    return _join([_tokenise(group, backend, kind) for group in _groups(documents)], kind)


def _groups(texts: Sequence[AnnotatedText]) -> Iterator[list[AnnotatedText]]:
    group, size = list[AnnotatedText](), 0
    for text in texts:
        group.append(text)
        size += len(text.text)
        if size >= _AT_ONCE:
            yield group
            group, size = [], 0
    if group:
        yield group


class _Piece(NamedTuple):
    """Part of a document: which one and which segment, its text, where that starts and where its sentences end."""

    document: int
    segment: int
    text: str
    start: int
    stops: list[int]


def _tokenise(texts: Sequence[AnnotatedText], backend: Any, kind: type) -> Shard:
    pieces = [piece for place, text in enumerate(texts) for piece in _pieces(place, text.text)]
    encodings = backend.encode_batch([piece.text for piece in pieces], add_special_tokens=False)
    ids, sentences, units, size = list[np.ndarray](), list[np.ndarray](), list[np.ndarray](), 0
    owners = [_owners(text) for text in texts]
    counts, firsts = np.zeros((2, len(texts)), np.int64), np.full(len(texts), -1)
    for piece, encoding in zip(pieces, encodings, strict=True):
        text = texts[piece.document]
        found = size + _token_ends(piece.stops, encoding)
        found = found[np.diff(found, prepend=size) > 0]  # a sentence of no token is none
        ids.append(np.array(encoding.ids, kind))
        sentences.append(found)
        units.append(_units(text.text, owners[piece.document], piece.start, encoding))
        size += len(encoding.ids)
        counts[:, piece.document] += len(encoding.ids), len(found)
        if piece.segment == 0 and SEGMENT in text.text:
            firsts[piece.document] = counts[0, piece.document]
    full, marked = counts[0] > 0, any(text.spans for text in texts)
    tokens = np.concatenate(ids) if ids else np.zeros(0, kind)
    numbers = np.concatenate(units) if marked else np.zeros(0, np.uint8)
    return Shard(tokens, _concatenate(sentences), counts[1, full].cumsum(), firsts[full], numbers)


def _pieces(place: int, text: str) -> Iterator[_Piece]:
    begin = 0
    for number, segment in enumerate(text.split(SEGMENT, maxsplit=1)):
        start, stops = 0, list[int]()
        for end in ends(segment):
            if stops and end - start > _PIECE:
                ended = [stop - start for stop in stops]
                yield _Piece(place, number, segment[start : stops[-1]], begin + start, ended)
                start, stops = stops[-1], []
            stops.append(end)
        if stops or not start:
            yield _Piece(place, number, segment[start:], begin + start, [stop - start for stop in stops])
        begin += len(segment) + len(SEGMENT)


def _owners(text: AnnotatedText) -> np.ndarray:
    """The number of the span that each character lies in, 1 to 255 over and over; 0 outside and at the end."""
    owners = np.zeros(len(text.text) + 1 if text.spans else 0, np.uint8)
    for number, (first, last) in enumerate(text.spans):
        owners[first:last] = 1 + number % 255
    return owners


def _units(text: str, owners: np.ndarray, start: int, encoding: Any) -> np.ndarray:
    """(n,) the number of the span each token lies in, 0 outside. The space before a word may be part of its token."""
    if not len(owners) or not len(encoding.ids):
        return np.zeros(len(encoding.ids), np.uint8)
    begins, stops = (np.array(column) + start for column in zip(*encoding.offsets, strict=True))
    lasts = np.maximum(stops - 1, begins)
    spaces = np.array([text[begin : begin + 1].isspace() for begin in begins]) & (begins < lasts)
    return np.where(owners[begins + spaces] == owners[lasts], owners[lasts], 0)


def _token_ends(stops: Sequence[int], encoding: Any) -> np.ndarray:
    """Where sentences that end at these characters end in tokens."""
    begins = [begin for begin, _ in encoding.offsets]
    found = [bisect_right(begins, stop - 1) for stop in stops]
    return np.array([*found[:-1], len(begins)] if found else [], np.int64)


def _join(shards: Sequence[Shard], kind: type) -> Shard:
    """One shard of several."""
    tokens = np.concatenate([shard.tokens for shard in shards]) if shards else np.zeros(0, kind)
    marked = any(len(shard.units) for shard in shards)
    units = [shard.units if len(shard.units) else np.zeros(len(shard.tokens), np.uint8) for shard in shards]
    return Shard(tokens, *join_ends(shards), np.concatenate(units) if marked else np.zeros(0, np.uint8))


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

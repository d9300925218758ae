"""Token ids of a corpus on disk, memory-mapped: built once, a shard at a time, and taken up again where it stopped.

    FOLDER/00000/{tokens,sentences,documents,firsts,units}.npy    a shard of whole documents (`Shard`)
    FOLDER/00000/sha256                                           its checksum
    FOLDER/complete.json                                          the counts; written last

A shard appears in one step, when it is whole; it is checked when it is opened, and made anew if it is damaged. Only the
ends of sentences and documents are held in memory: 8 bytes a sentence, against 2 bytes a token on disk.
"""

import hashlib
import json
import shutil
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.utilities import rank_zero_warn
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from lm_lab.atomic import replacing
from lm_lab.data import checksums
from lm_lab.data.corpora.annotated import AnnotatedText
from lm_lab.data.corpora.tokenised import Shard, join_ends, tokenise

UNIT_BITS = 32  # below the number of a token's span
_SHARD = 16_000_000  # characters of a shard: about 4 million tokens of English
_CHUNK = 1_000_000  # tokens that are counted at a time
_COMPLETE, _CHECKSUM = "complete.json", "sha256"


@dataclass(frozen=True)
class TokenStore:
    """Documents in tokens, special ones left out.

    Attributes:
        parts: the tokens, in arrays one behind the other; on disk where the store is.
        starts: p + 1 places, where each of these starts, and where the last one ends.
        sentences: (s + 1,) 0 and where each sentence ends, in tokens.
        documents: (d + 1,) where each document starts in `sentences`, and where the last one ends.
        firsts: (d,) tokens of a document's first segment, -1 for a document of one segment.
        units: the numbers of spans that came with the text, in arrays like `parts`; () if there are none.
    """

    parts: tuple[np.ndarray, ...]
    starts: list[int]
    sentences: np.ndarray
    documents: np.ndarray
    firsts: np.ndarray
    units: tuple[np.ndarray, ...] = ()

    @staticmethod
    def of(*shards: Shard) -> "TokenStore":
        """A store of shards that follow one another."""
        sentences, documents, firsts = join_ends(shards)
        parts = tuple(shard.tokens for shard in shards)
        starts = [0, *accumulate(map(len, parts))]
        marked = any(len(shard.units) for shard in shards)
        units = tuple(s.units if len(s.units) else np.zeros(len(s.tokens), np.uint8) for s in shards) if marked else ()
        return TokenStore(parts, starts, np.append(0, sentences), np.append(0, documents), firsts, units)

    @staticmethod
    def joined(*stores: "TokenStore") -> "TokenStore":
        """The documents of several stores, one behind the other; tokens stay where they are."""
        if len(stores) == 1:
            return stores[0]
        parts, units = list[np.ndarray](), list[np.ndarray]()
        sentences, documents = [np.zeros(1, np.int64)], [np.zeros(1, np.int64)]
        for store in stores:
            first, last = store.documents[0], store.documents[-1]
            start, stop = int(store.bounds[0]), int(store.bounds[-1])
            found = store._slices(store.parts, start, stop)
            units += store._slices(store.units, start, stop) or [np.zeros(len(part), np.uint8) for part in found]
            parts += found
            sentences.append(store.sentences[first + 1 : last + 1] - start + sentences[-1][-1])
            documents.append(store.documents[1:] - first + documents[-1][-1])
        firsts = np.concatenate([store.firsts for store in stores])
        marked = tuple(units) if any(store.units for store in stores) else ()
        starts = [0, *accumulate(map(len, parts))]
        return TokenStore(tuple(parts), starts, np.concatenate(sentences), np.concatenate(documents), firsts, marked)

    def __len__(self) -> int:
        """Number of documents."""
        return len(self.firsts)

    @cached_property
    def bounds(self) -> np.ndarray:
        """(d + 1,) where each document starts in tokens, and where the last one ends."""
        return self.sentences[self.documents]

    def tokens(self, start: int, stop: int) -> np.ndarray:
        """Ids from `start` to before `stop`, (stop - start,); the number of a token's span in its upper 32 bits."""
        ids = self._read(self.parts, start, stop)
        if not self.units:
            return ids
        return ids.astype(np.int64) | self._read(self.units, start, stop).astype(np.int64) << UNIT_BITS

    def _read(self, parts: Sequence[np.ndarray], start: int, stop: int) -> np.ndarray:
        found = self._slices(parts, start, stop)
        return found[0] if len(found) == 1 else np.concatenate(found or [parts[0][:0]])

    def _slices(self, parts: Sequence[np.ndarray], start: int, stop: int) -> list[np.ndarray]:
        first = bisect_right(self.starts, start) - 1
        found = list[np.ndarray]()
        while parts and start < stop:
            base, end = self.starts[first], min(stop, self.starts[first + 1])
            found.append(parts[first][start - base : end - base])
            start, first = end, first + 1
        return found

    def part(self, first: int, last: int) -> "TokenStore":
        """The documents from `first` to before `last`; tokens keep their places."""
        return replace(self, documents=self.documents[first : last + 1], firsts=self.firsts[first:last])

    def counts(self, size: int) -> np.ndarray:
        """(size,) how often each token stands in these documents."""
        start, stop = int(self.bounds[0]), int(self.bounds[-1])
        parts = (self._read(self.parts, place, min(stop, place + _CHUNK)) for place in range(start, stop, _CHUNK))
        return sum((np.bincount(part, minlength=size) for part in parts), np.zeros(size, np.int64))


def build(folder: Path, documents: Iterable[str | AnnotatedText], tokenizer: Any) -> TokenStore:
    """The store in `folder`; whatever of it is not there yet is tokenised from `documents` and written.

    Args:
        folder: of this text and this tokenizer alone (`fingerprint`).
        documents: the texts, in the same order at every call; not read if the store is complete.
        tokenizer: a fast tokenizer of `transformers`.
    """
    shards = _complete(folder)
    if shards is None:
        shards = _write(folder, iter(documents), tokenizer)
    return TokenStore.of(*shards)


def _complete(folder: Path) -> list[Shard] | None:
    """The shards of a complete store, whose tokens stay on disk; None if it is not complete, or damaged."""
    try:
        count = int(json.loads((folder / _COMPLETE).read_text())["shards"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    shards = [_whole(folder / f"{number:05d}") for number in range(count)]
    return [shard for shard in shards if shard is not None] if None not in shards else None


def fingerprint(tokenizer: Any, *parts: Any) -> str:
    """Hash of a tokenizer and of whatever else the tokens depend on, as JSON."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    for frame in ("truncation", "padding", "post_processor"):
        state.pop(frame)  # no part of the ids of a text alone
    return hashlib.sha256(json.dumps([state, parts]).encode()).hexdigest()[:32]


def _write(folder: Path, documents: Iterator[str | AnnotatedText], tokenizer: Any) -> list[Shard]:
    shards, counts = list[Shard](), {"shards": 0, "documents": 0, "tokens": 0}
    columns = TextColumn("tokenising: {task.completed:,.0f} tokens"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=None)
        while texts := _next_shard(documents):
            path = folder / f"{counts['shards']:05d}"
            if (shard := _whole(path)) is None:
                _save(path, tokenise(texts, tokenizer))
                shard = _read(path)
            shards.append(shard)
            counts["shards"] += 1
            counts["documents"] += len(shard.firsts)
            counts["tokens"] += len(shard.tokens)
            progress.update(bar, completed=counts["tokens"])
    with replacing(folder / _COMPLETE) as beside:
        beside.write_text(json.dumps(counts))
    return shards


def _next_shard(documents: Iterator[str | AnnotatedText]) -> list[str | AnnotatedText]:
    texts, size = list[str | AnnotatedText](), 0
    while size < _SHARD and (following := next(documents, None)) is not None:
        texts.append(following)
        size += len(following if isinstance(following, str) else following.text)
    return texts


def _save(path: Path, shard: Shard) -> None:
    try:
        with replacing(path) as beside:
            beside.mkdir()
            for name, values in shard._asdict().items():
                np.save(beside / f"{name}.npy", values)
            (beside / _CHECKSUM).write_text(checksums.of_arrays(shard._asdict()))
    except OSError:
        if not path.is_dir():  # else another process was first, with the same documents
            raise


def _whole(path: Path) -> Shard | None:
    """A shard, None if it is not there; one that is not what was written is removed."""
    if not path.is_dir():
        return None
    try:
        shard = _read(path)
        if (path / _CHECKSUM).read_text() == checksums.of_arrays(shard._asdict()):
            return shard
    except (OSError, ValueError, EOFError):
        pass
    rank_zero_warn(f"{path} is damaged, or of an older version: tokenised anew")
    shutil.rmtree(path, ignore_errors=True)
    return None


def _read(path: Path) -> Shard:
    arrays = {name: np.load(path / f"{name}.npy", mmap_mode="r") for name in Shard._fields}
    return Shard(**arrays)

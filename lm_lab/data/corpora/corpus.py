"""Text to pretrain on as a LightningDataModule: the microworld, files, folders, the hub.

A tab inside a document separates two segments, encoded as a pair (`[CLS] a [SEP] b [SEP]` in BERT).
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lm_lab.data import checksums
from lm_lab.data.batching import ResumableLoader, grouped_loader, pins, place
from lm_lab.data.binding import BoundData
from lm_lab.data.corpora import raw, store
from lm_lab.data.corpora.annotated import AnnotatedText, annotated
from lm_lab.data.corpora.chunkers import Chunker, chunked
from lm_lab.data.corpora.rows import CorpusRows, Documents, RowLayout, RowsFactory
from lm_lab.data.corpora.rows.batches import RowBatches
from lm_lab.data.corpora.store import TokenStore
from lm_lab.data.corpora.tokenised import tokenise
from lm_lab.data.encoding.encoding import Encoding, cache_folder
from lm_lab.data.limits import at_least
from lm_lab.data.microworld import corpus
from lm_lab.data.reading.texts import UTF_8, codec
from lm_lab.errors import UsageError

MICROWORLD = "microworld"
MICROWORLD_DOCUMENTS = 40_000
_UNKNOWN_SHARE = 0.5


class Corpus(BoundData):
    """Documents, tokenised once as the model reads them that they are bound to (`lm_lab.bind`), in rows and batches.

    Args:
        source: "microworld"; a text file with one document a line, a data file with a column of texts, or a folder of
            such files, from here or below `LM_LAB_DATA`; `hub:NAME` or `hub:NAME:SUBSET`. A list of sources, but for
            the microworld: their documents one behind the other.
        batch_size: rows in a batch.
        max_length: longest row in tokens.
        documents: how many to use of each source; None takes all, and 40,000 of the microworld.
        held_out: how many of those are kept from training, to validate on; 0 takes the split `validation` that a
            folder or a set of the hub has.
        seed: of the microworld's text, of what rows draw and of the order of batches.
        num_workers: processes that load batches.
        column: the column of texts in a data file.
        starts: regular expression; a line or row that it matches starts a document, and those that follow belong to
            it. None: each is a document.
        spans: the phrases or entities that `EntityMasking` hides whole: the column of a data file with those of each
            text, as a list of pairs of characters [start, end); or what finds them, such as
            `lm_lab.data.PhraseChunker`.
        rows: how documents become rows: `Documents`, `Packed`, `Continuing`, `NextSentencePairs`,
            `SentenceOrderPairs` or `ThreeWayPairs` of `lm_lab.data.corpora.rows`.
        encoding: of text files, such as latin-1.

    Raises:
        UsageError: a number out of range; on `setup`, if the source, a number or the tokenizer does not fit.
    """

    def __init__(
        self,
        source: str | list[str] = MICROWORLD,
        batch_size: int = 128,
        max_length: int = 128,
        documents: int | None = None,
        held_out: int = 1000,
        seed: int = 0,
        num_workers: int = 0,
        column: str = "text",
        starts: str | None = None,
        spans: Chunker | str | None = None,
        rows: RowsFactory = Documents,
        encoding: str = UTF_8,
    ) -> None:
        super().__init__()
        at_least(1, batch_size=batch_size, max_length=max_length, documents=documents)
        at_least(0, held_out=held_out, seed=seed, num_workers=num_workers)
        codec(encoding)
        self.sources = _sources(source)
        self.batch_size, self.max_length = batch_size, max_length
        self.documents, self.held_out = documents, held_out
        self.seed, self.num_workers = seed, num_workers
        self.column, self.starts, self.spans, self.rows = column, starts, spans, rows
        self.encoding = encoding
        self.training: CorpusRows | None = None
        self.validation: CorpusRows | None = None

    @property
    def description(self) -> str:
        """What text this is, in a few words."""
        assert self.training is not None and self.validation is not None, "setup comes first"  # noqa: PT018
        held_out = len(self.validation.store)
        seeded = f", seed {self.seed}" if MICROWORLD in self.sources else ""
        count = len(self.training.store) + held_out
        return f"{' and '.join(self.sources)}, {count:,} documents of which {held_out:,} held out{seeded}"

    def bind(self, encoding: Encoding) -> None:
        """Keep how the model reads; rows for another one are dropped. Raises `UsageError` if it reads more than ids."""
        if encoding.asks:
            asked = ", ".join(ask.name for ask in encoding.asks)
            raise UsageError(
                f"the model reads {asked} of each token, and a corpus keeps ids alone, which noise changes: compute it "
                "of ids inside the backbone, from a table with a row for each token of the vocabulary."
            )
        super().bind(encoding)
        self.training = self.validation = None

    def prepare_data(self) -> None:
        """Tokenise what is not in the cache yet, in one process of each machine."""
        if MICROWORLD not in self.sources:  # which is made in memory
            self._stores(self.reading.tokenizer)

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Take the tokens from the cache and lay out the rows."""
        if self.training is not None:
            return
        reading = self.reading
        if not 0 < self.max_length <= reading.max_length:
            raise UsageError(f"max_length={self.max_length}: this backbone takes 1 to {reading.max_length} tokens.")
        layout = RowLayout.of(reading.tokenizer, reading.causal, self.max_length, self.seed, reading.segments)
        training, validation = self._stores(reading.tokenizer)
        self.training, self.validation = self.rows(training, layout), self.rows(validation, layout)
        for rows, use in ((self.training, "train"), (self.validation, "validate")):
            if not len(rows):
                size = f"{len(rows.store)} documents of {np.diff(rows.store.bounds).sum()} tokens"
                raise UsageError(
                    f"'{' and '.join(self.sources)}' gives no row of {self.max_length} tokens to {use} on: {size}; "
                    "give more text, or a smaller max_length."
                )

    def train_dataloader(self) -> ResumableLoader:
        """Batches in an order that is new in every epoch."""
        return self._loader(self.training, shuffle=True)

    def val_dataloader(self) -> ResumableLoader:
        """Batches of the held-out documents, the same rows at every epoch."""
        return self._loader(self.validation, shuffle=False)

    def _loader(self, rows: CorpusRows | None, shuffle: bool) -> ResumableLoader:
        assert rows is not None, "setup comes first"
        batches = RowBatches(rows, self.batch_size, self.seed, shuffle, **place(self.trainer))
        return grouped_loader(rows, batches, rows.collate, self.num_workers, pins(self.trainer))

    def _stores(self, tokenizer: Any) -> tuple[TokenStore, TokenStore]:
        """The tokens to train on and those to validate on, of all sources."""
        pairs = [self._divided(source, tokenizer) for source in self.sources]
        return TokenStore.joined(*(train for train, _ in pairs)), TokenStore.joined(*(held for _, held in pairs))

    def _divided(self, source: str, tokenizer: Any) -> tuple[TokenStore, TokenStore]:
        if not self.held_out and source != MICROWORLD:
            return self._store(source, "train", tokenizer), self._store(source, "validation", tokenizer)
        whole = self._store(source, "train", tokenizer)
        if not 0 < self.held_out < len(whole):
            raise UsageError(
                f"held_out={self.held_out}: expected 1 to {len(whole) - 1}, because '{source}' gives "
                f"{len(whole)} documents; or 0 for the split validation of a folder."
            )
        return whole.part(self.held_out, len(whole)), whole.part(0, self.held_out)

    def _store(self, source: str, split: str, tokenizer: Any) -> TokenStore:
        in_file = not self.starts and source != MICROWORLD and not source.startswith(raw.HUB)
        if isinstance(self.spans, str) and not in_file:
            raise UsageError(
                f"spans='{self.spans}': spans stand in a column of a data file, without starts; a chunker, such as "
                "lm_lab.data.PhraseChunker, finds them in any text."
            )
        if source == MICROWORLD:
            texts = corpus(self.documents or MICROWORLD_DOCUMENTS, self.seed)
            found = TokenStore.of(tokenise(list(self._chunked(texts)), tokenizer))
        else:
            found = store.build(self._folder(source, split, tokenizer), self._texts(source, split), tokenizer)
        _require_known(found, tokenizer)
        return found

    def _texts(self, source: str, split: str) -> Iterator[str | AnnotatedText]:
        if isinstance(self.spans, str):
            texts: Iterable[str | AnnotatedText] = annotated([source], self.column, self.spans, split, self.encoding)
        else:
            texts = self._chunked(raw.documents([source], self.column, self.starts, split, self.encoding))
        return islice(texts, self.documents if split == "train" else None)

    def _chunked(self, texts: Iterable[str]) -> Iterable[str | AnnotatedText]:
        return chunked(texts, self.spans) if isinstance(self.spans, Chunker) else texts

    def fingerprint(self) -> str:
        """Hash of the text by the content of its files; of a generated or streamed one, of its name."""
        splits = ["train"] if self.held_out else ["train", "validation"]
        states = [_state(source, splits) for source in self.sources]
        return hashlib.sha256(json.dumps(states[0] if len(states) == 1 else states).encode()).hexdigest()[:16]

    def _folder(self, source: str, split: str, tokenizer: Any) -> Path:
        """Where the cache keeps this text in this tokenizer's ids."""
        spans = repr(self.spans) if isinstance(self.spans, Chunker) else self.spans
        read = [self.column, self.starts, spans, split, self.documents if split == "train" else None]
        if source.startswith(raw.HUB):
            return cache_folder() / "corpora" / store.fingerprint(tokenizer, source, *read)
        paths = [path.resolve() for path in raw.files(source, split)]
        states = [checksums.of_file(path) for path in paths]
        return cache_folder() / "corpora" / store.fingerprint(tokenizer, states, codec(self.encoding), *read)


def _sources(source: str | list[str]) -> list[str]:
    sources = [source] if isinstance(source, str) else list(source)
    if not sources or (MICROWORLD in sources and len(sources) > 1):
        raise UsageError(f"source={source}: expected one source, or several files, folders or names of the hub.")
    return sources


def _state(source: str, splits: list[str]) -> list[Any]:
    if source == MICROWORLD or source.startswith(raw.HUB):
        return [source, []]
    return [None, [checksums.of_file(path) for split in splits for path in raw.files(source, split)]]


def _require_known(tokens: TokenStore, tokenizer: Any) -> None:
    counts, unknown = tokens.counts(len(tokenizer)), tokenizer.unk_token_id
    share = counts[unknown] / max(1, counts.sum()) if unknown is not None else 0.0
    if share > _UNKNOWN_SHARE:
        raise UsageError(
            f"{share:.0%} of the corpus is unknown to the tokenizer of '{tokenizer.name_or_path}'; "
            "give a backbone (or backbone.tokenizer) that was made for this text."
        )

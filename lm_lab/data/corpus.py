"""Text to pretrain on as a LightningDataModule: the microworld, lines of a text file, a column of a data file.

A tab inside a document separates two segments, encoded as a pair (`[CLS] a [SEP] b [SEP]` in BERT).
"""

from collections.abc import Sequence
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset
from torchdata.stateful_dataloader import StatefulDataLoader

from lm_lab.data import raw
from lm_lab.data.batching import LengthGroupedBatches, grouped_loader, place
from lm_lab.data.microworld import SEGMENT, corpus
from lm_lab.errors import UsageError

MICROWORLD_DOCUMENTS = 40_000
_UNKNOWN_SHARE = 0.5
# batches group lengths this coarsely: documents of exactly one length are of one kind, and batches of one kind
# after another slow learning down far more than some padding does
_LENGTH_STEP = 24


class Corpus(L.LightningDataModule):
    """Documents, tokenised once with the tokenizer of the module that is trained, in batches of similar length.

    Args:
        source: "microworld", a UTF-8 text file with one document a line, or a data file (or a folder with one for the
            split train) with a column of texts; from here or below `LM_LAB_DATA`.
        batch_size: documents in a batch.
        max_length: longest document in tokens; longer ones are truncated, with a warning that counts them.
        documents: how many to use; None takes a file's every line, and 40,000 of the microworld.
        held_out: how many of those are kept from training, to validate on.
        seed: of the microworld's text and of the order of the batches.
        num_workers: processes that load batches.
        column: the column of texts in a data file.

    Raises:
        UsageError: on `setup`, if the source, a number or the tokenizer does not fit.
    """

    def __init__(
        self,
        source: str = "microworld",
        batch_size: int = 128,
        max_length: int = 128,
        documents: int | None = None,
        held_out: int = 1000,
        seed: int = 0,
        num_workers: int = 0,
        column: str = "text",
    ) -> None:
        super().__init__()
        self.source, self.batch_size, self.max_length = source, batch_size, max_length
        self.documents, self.held_out = documents, held_out
        self.seed, self.num_workers, self.column = seed, num_workers, column
        self.training: TokenDocuments | None = None
        self.validation: TokenDocuments | None = None

    @property
    def description(self) -> str:
        """What text this is, in a few words."""
        seeded = f", seed {self.seed}" if self.source == "microworld" else ""
        count = len(self.training or ()) + len(self.validation or ())
        return f"{self.source}, {count:,} documents of which {self.held_out:,} held out{seeded}"

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Read, tokenise and split the documents."""
        if self.training is not None:
            return
        backbone: Any = self.trainer.lightning_module.backbone  # type: ignore[union-attr]
        texts = read_documents(self.source, self.documents, self.seed, self.column)
        if not 0 < self.held_out < len(texts):
            raise UsageError(
                f"held_out={self.held_out}: expected 1 to {len(texts) - 1}, "
                f"because '{self.source}' gives {len(texts)} documents."
            )
        if not 0 < self.max_length <= backbone.max_length:
            raise UsageError(f"max_length={self.max_length}: this backbone takes 1 to {backbone.max_length} tokens.")
        tokens = tokenise(texts, backbone.tokenizer, self.max_length)
        pad_id: int = backbone.tokenizer.pad_token_id
        self.training = TokenDocuments(tokens[self.held_out :], pad_id)
        self.validation = TokenDocuments(tokens[: self.held_out], pad_id)

    def train_dataloader(self) -> StatefulDataLoader:
        """Batches in an order that is new in every epoch."""
        return self._loader(self.training, shuffle=True)

    def val_dataloader(self) -> StatefulDataLoader:
        """Batches of the held-out documents."""
        return self._loader(self.validation, shuffle=False)

    def _loader(self, documents: "TokenDocuments | None", shuffle: bool) -> StatefulDataLoader:
        assert documents is not None, "setup comes first"
        lengths = documents.lengths // _LENGTH_STEP
        batches = LengthGroupedBatches(lengths, self.batch_size, self.seed, shuffle, **place(self.trainer))
        return grouped_loader(documents, batches, documents.collate, self.num_workers)


class TokenDocuments(Dataset[dict[str, Tensor]]):
    """Tokenised documents; an item maps `input_ids`, `attention_mask`, perhaps `token_type_ids` to (t,) ids.

    Args:
        tokens: one such mapping a document.
        pad_id: id that fills a batch up.
    """

    def __init__(self, tokens: Sequence[dict[str, Tensor]], pad_id: int) -> None:
        self.tokens, self.pad_id = tokens, pad_id
        self.lengths = np.array([len(document["input_ids"]) for document in tokens])

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.tokens[index]

    def collate(self, documents: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Pad documents on the right to the longest: each (b, t)."""
        return {
            name: pad_sequence(
                [document[name] for document in documents],
                batch_first=True,
                padding_value=self.pad_id if name == "input_ids" else 0,
            )
            for name in documents[0]
        }


def read_documents(source: str, documents: int | None, seed: int, column: str = "text") -> list[str]:
    """Return the first documents of a source, empty ones left out.

    Raises:
        UsageError: `documents` is below 1, or the source cannot be read or has no text.
    """
    if documents is not None and documents < 1:
        raise UsageError(f"documents={documents}: expected 1 or more, or null for all.")
    if source == "microworld":
        return corpus(documents or MICROWORLD_DOCUMENTS, seed)
    return raw.documents([source], column)[:documents]


def tokenise(texts: Sequence[str], tokenizer: Any, max_length: int) -> list[dict[str, Tensor]]:
    """Tokenise documents, those with a tab as a pair of segments.

    Raises:
        UsageError: the tokenizer does not know more than half of the tokens.
    """
    encoded = [_encode(text, tokenizer) for text in texts]
    tokens = [document if len(document["input_ids"]) <= max_length else None for document in encoded]
    cut = [i for i, document in enumerate(tokens) if document is None]
    if cut:
        rank_zero_warn(f"{len(cut)} of {len(texts)} documents are longer than {max_length} tokens and were truncated")
    for i in cut:
        encoded[i] = _encode(texts[i], tokenizer, truncation=True, max_length=max_length)
    _require_known(encoded, tokenizer)
    return [{name: torch.tensor(ids) for name, ids in document.items()} for document in encoded]


def _encode(text: str, tokenizer: Any, **options: Any) -> dict[str, list[int]]:
    return dict(tokenizer(*text.split(SEGMENT, maxsplit=1), verbose=False, **options))


def _require_known(encoded: Sequence[dict[str, list[int]]], tokenizer: Any) -> None:
    ids = np.concatenate([document["input_ids"] for document in encoded])
    share = float((ids == tokenizer.unk_token_id).mean()) if tokenizer.unk_token_id is not None else 0.0
    if share > _UNKNOWN_SHARE:
        raise UsageError(
            f"{share:.0%} of the corpus is unknown to the tokenizer of '{tokenizer.name_or_path}'; "
            "give a backbone (or backbone.tokenizer) that was made for this text."
        )

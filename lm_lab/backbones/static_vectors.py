"""Word vectors as a backbone: a vector a word, whatever stands around it; the baseline of every curve."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from lm_lab.backbones.base import Backbone
from lm_lab.backbones.pooling import Pooling
from lm_lab.words import WordVectors
from lm_lab.words.folder import load, save
from lm_lab.words.ngrams import NGrams, buckets

PAD, UNKNOWN = "[PAD]", "[UNK]"


@dataclass(frozen=True)
class Buckets:
    """What an unseen word is made of, as a `lm_lab.tokens.TokenInput`: the rows of its n-grams; -1 behind them.

    Args:
        known: words that have a row of their own, and need none.
        lowercase: words are read in lower case.
        shortest, longest: characters of an n-gram.
        count: rows that there are.
    """

    known: frozenset[str]
    lowercase: bool
    shortest: int
    longest: int
    count: int
    name: str = "n_grams"
    padding: int = -1

    def values(self, tokens: Sequence[str]) -> np.ndarray:
        """(n, w) the rows of n words."""
        words = [unicodedata.normalize("NFC", token) for token in tokens]
        words = [word.lower() for word in words] if self.lowercase else words
        none = np.zeros(0, np.int64)
        rows = [
            none if word in self.known else buckets(word, self.shortest, self.longest, self.count) for word in words
        ]
        found = np.full((len(rows), max(1, *map(len, rows)) if rows else 1), -1, np.int64)
        for row, values in enumerate(rows):
            found[row, : len(values)] = values
        return found


class StaticVectors(Backbone):
    """Hidden states 0, which are all that there are: the words' vectors. Texts are read as their mean.

    Words are what blanks and punctuation leave. Where no vector is of a word with capitals (GloVe), texts are read in
    lower case. An unknown word has the mean of its n-grams where `source` has these (fastText), else that of all
    vectors. N-grams are a fixed table: fine-tuning trains the words' rows alone.

    Args:
        source: a folder of `lm-lab words fit`, or a file of vectors in any form of `lm_lab.words.formats`.
        limit: take the first so many, the commonest.
        lowercase: read texts in lower case; None: where no word has a capital.

    Raises:
        UsageError: what `lm_lab.words.folder.load` says of the source.
    """

    asks: tuple[Buckets, ...] = ()

    def __init__(self, source: str, limit: int | None = None, lowercase: bool | None = None) -> None:
        super().__init__(source=source, limit=limit, lowercase=lowercase)
        vectors = load(source, limit)
        kept = [row for row, word in enumerate(vectors.words) if word not in (PAD, UNKNOWN)]
        words, table = [vectors.words[row] for row in kept], torch.from_numpy(vectors.matrix[kept])
        lower = all(word == word.lower() for word in words) if lowercase is None else lowercase
        self.tokenizer = word_tokenizer(words, lower)
        special = torch.stack([torch.zeros(table.shape[1]), table.mean(0)])
        self.embeddings = nn.Embedding.from_pretrained(torch.cat([special, table]), freeze=False, padding_idx=0)
        self.hidden_size = table.shape[1]
        self.n_grams: Tensor | None
        self.register_buffer("n_grams", None)
        if vectors.n_grams is not None:
            self._take(vectors.n_grams, words, lower)

    def _take(self, rows: NGrams, words: list[str], lower: bool) -> None:
        known = frozenset([PAD, UNKNOWN, *words])
        self.asks = (Buckets(known, lower, rows.shortest, rows.longest, len(rows.matrix)),)
        self.n_grams = torch.from_numpy(np.array(rows.matrix))

    @property
    def pooling(self) -> Pooling:
        """The mean: no token has seen the others."""
        return "mean"

    def forward(self, n_grams: Tensor | None = None, **encoding: Tensor) -> tuple[Tensor, ...]:
        """The vectors (b, t, d); `n_grams` (b, t, w) are the rows of unseen words."""
        found = self.embeddings(encoding["input_ids"])
        if n_grams is None or self.n_grams is None:
            return (found,)
        there = n_grams >= 0
        rows = self.n_grams[n_grams.clamp(min=0)] * there[..., None]  # (b, t, w, d)
        count = there.sum(-1, keepdim=True)
        return (torch.where(count > 0, rows.sum(2) / count.clamp(min=1), found),)

    def vectors(self) -> WordVectors:
        """The table as it is now, without those of padding and unknown words."""
        words = self.tokenizer.convert_ids_to_tokens(list(range(2, len(self.tokenizer))))
        rows = None
        if self.n_grams is not None:
            rows = NGrams(self.n_grams.cpu().numpy(), self.asks[0].shortest, self.asks[0].longest)
        return WordVectors(words, self.token_embeddings[2:].detach().float().cpu().numpy(), rows)

    def randomised(self) -> Self:
        """See `Backbone`; n-grams too."""
        twin = super().randomised()
        if twin.n_grams is not None:
            twin.n_grams.normal_()
        return twin

    def write(self, folder: Path, state: Any = None) -> None:  # noqa: ARG002
        """Write a folder that is a source of this class."""
        save(Path(folder), self.vectors(), {})


def word_tokenizer(words: list[str], lowercase: bool) -> PreTrainedTokenizerFast:
    """A tokenizer whose tokens are words; ids are their rows behind padding and the unknown word."""
    vocabulary = {word: row for row, word in enumerate([PAD, UNKNOWN, *words])}
    core = Tokenizer(models.WordLevel(vocabulary, UNKNOWN))
    core.normalizer = normalizers.Sequence([normalizers.NFC(), *([normalizers.Lowercase()] if lowercase else [])])
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=PAD, unk_token=UNKNOWN, model_input_names=["input_ids", "attention_mask"]
    )

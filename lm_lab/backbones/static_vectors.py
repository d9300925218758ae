"""Word vectors as a backbone: a vector a word, whatever stands around it; the baseline of every curve."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from lm_lab.backbones.base import Backbone
from lm_lab.backbones.pooling import Pooling
from lm_lab.words import WordVectors, formats

PAD, UNKNOWN = "[PAD]", "[UNK]"


class StaticVectors(Backbone):
    """Hidden states 0, which are all that there are: the words' vectors. Texts are read as their mean.

    Words are what blanks and punctuation leave. Where no vector is of a word with capitals (GloVe), texts are read in
    lower case. An unknown word has the mean of all vectors.

    Args:
        source: a file of vectors, in any form of `lm_lab.words.formats`.
        limit: take the first so many, the commonest.
        lowercase: read texts in lower case; None: where no word has a capital.

    Raises:
        UsageError: what `formats.read` says of the file.
    """

    def __init__(self, source: str, limit: int | None = None, lowercase: bool | None = None) -> None:
        super().__init__(source=source, limit=limit, lowercase=lowercase)
        vectors = formats.read(source, limit)
        kept = [row for row, word in enumerate(vectors.words) if word not in (PAD, UNKNOWN)]
        words, table = [vectors.words[row] for row in kept], torch.from_numpy(vectors.matrix[kept])
        lower = all(word == word.lower() for word in words) if lowercase is None else lowercase
        self.tokenizer = word_tokenizer(words, lower)
        special = torch.stack([torch.zeros(table.shape[1]), table.mean(0)])
        self.embeddings = nn.Embedding.from_pretrained(torch.cat([special, table]), freeze=False, padding_idx=0)
        self.hidden_size = table.shape[1]

    @property
    def pooling(self) -> Pooling:
        """The mean: no token has seen the others."""
        return "mean"

    def forward(self, **encoding: Tensor) -> tuple[Tensor, ...]:
        """The vectors (b, t, d)."""
        return (self.embeddings(encoding["input_ids"]),)

    def vectors(self) -> WordVectors:
        """The table as it is now, without those of padding and unknown words."""
        words = self.tokenizer.convert_ids_to_tokens(list(range(2, len(self.tokenizer))))
        return WordVectors(words, self.token_embeddings[2:].detach().float().cpu().numpy())

    def write(self, folder: Path, state: Any = None) -> None:  # noqa: ARG002
        """Write `vectors.bin`, a source of this class."""
        formats.write(self.vectors(), Path(folder) / "vectors.bin")


def word_tokenizer(words: list[str], lowercase: bool) -> PreTrainedTokenizerFast:
    """A tokenizer whose tokens are words; ids are their rows behind padding and the unknown word."""
    vocabulary = {word: row for row, word in enumerate([PAD, UNKNOWN, *words])}
    core = Tokenizer(models.WordLevel(vocabulary, UNKNOWN))
    core.normalizer = normalizers.Sequence([normalizers.NFC(), *([normalizers.Lowercase()] if lowercase else [])])
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=PAD, unk_token=UNKNOWN, model_input_names=["input_ids", "attention_mask"]
    )

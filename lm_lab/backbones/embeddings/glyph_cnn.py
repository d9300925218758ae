"""Glyce's Tianzige CNN: a Chinese character is embedded by the picture of its glyph (Meng et al. 2019).

    z     (picture - mean picture) / s          (n, 1, 16, 16) of n characters, s the deviation of all pixels
    z     maxpool(relu(conv5(z)))               (n, c, 2, 2): the four fields of a tianzige, the squares of a copybook
    z     group_conv1(z), 8 groups              (n, c/4, 2, 2)
    z     group_conv2(z), 16 groups             (n, c, 1, 1) = g
    e     P [g; E x] + p                        E x the embedding of the character's id: (n, e)

https://arxiv.org/abs/1901.10125, c = 1024 there. What differs: one script, drawn once with 16 pixels a side from a
bitmap font, where Glyce has several historical ones of 12; no loss of recognising the character from its picture. A
token that is no single character, and one that the font lacks, has the mean picture, which is 0.

Drawn characters have much in common, and what tells them apart would drown in it. So pictures are standardised, and
convolutions begin with outputs standardised over the vocabulary, by their weights and biases (Krähenbühl et al. 2016,
https://arxiv.org/abs/1511.06856): mean 0 and deviation 1, of g that of a fresh E, such that e has the deviation of the
table whose place it takes.
"""

import hashlib
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lm_lab.backbones.embeddings import pictures, pooled
from lm_lab.backbones.embeddings.base import FRESH, ComputedEmbeddings, TokenEmbeddings
from lm_lab.errors import UsageError

_KEPT = "glyphs.hex"
_WINDOW, _FIELDS = 5, 2
_GROUPS = (8, 16)
_LEAST = 64  # filters: 16 groups of a quarter of them
_CONSTANT = 1e-5


@dataclass(frozen=True)
class GlyphCNN(TokenEmbeddings):
    """Pictures beside ids.

    Args:
        font: a file in GNU Unifont's format; Debian's package `unifont` brings the default. A saved folder keeps the
            pictures of its vocabulary.
        filters: c, a multiple of 64; 1,024 in the paper.
        ids: False reads the picture alone.
    """

    font: str = "/usr/share/unifont/unifont.hex"
    filters: int = 128
    ids: bool = True

    def __post_init__(self) -> None:
        if self.filters < 1 or self.filters % _LEAST:
            raise UsageError(f"filters={self.filters}: expected a multiple of {_LEAST}.")

    @property
    def identity(self) -> str:
        """With the content of the font in place of its name."""
        return repr(replace(self, font=hashlib.sha256(pictures.content(self.font).encode()).hexdigest()[:16]))

    def build(self, tokenizer: Any, width: int, deviation: float = FRESH) -> "GlyphConvolutions":
        """The module; warns of how many tokens have no picture."""
        tokens = _characters(tokenizer)
        known = pictures.lines(self.font, set(tokens) - {""})
        found = np.zeros((len(tokens), pictures.SIDE, pictures.SIDE), np.uint8)
        for row, token in enumerate(tokens):
            if token in known:
                found[row] = pictures.drawn(known[token])
        empty = len(tokens) - len(set(tokenizer.all_special_ids)) - sum(token in known for token in tokens)
        if empty:
            told = (
                f"{empty} of {len(tokens)} tokens have no picture in {self.font}: pieces of words, or not drawn there."
            )
            warnings.warn(told, stacklevel=2)
        return GlyphConvolutions(self, torch.from_numpy(pictures.standardised(found)), width, deviation)

    def kept(self, folder: Path, tokenizer: Any) -> "GlyphCNN":
        """With the pictures of the vocabulary as a font of their own."""
        pictures.write(folder / _KEPT, pictures.lines(self.font, set(_characters(tokenizer)) - {""}))
        return replace(self, font=_KEPT)

    def found(self, folder: Path) -> "GlyphCNN":
        """With the folder's own font."""
        return replace(self, font=str(folder / self.font))


class GlyphConvolutions(ComputedEmbeddings):
    """What `GlyphCNN` builds.

    Args:
        settings: sizes.
        drawn: (V, 16, 16) standardised pictures of each id, 0 where there is none.
        width: e.
        deviation: of the numbers in e at the start.
    """

    drawn: Tensor

    def __init__(self, settings: GlyphCNN, drawn: Tensor, width: int, deviation: float = FRESH) -> None:
        super().__init__(len(drawn), width)
        self.register_buffer("drawn", drawn, persistent=False)
        wide, read = settings.filters, deviation * 3**0.5  # P is drawn with a variance of 1 / 3 of its width
        self.strokes = nn.Conv2d(1, wide, _WINDOW)
        self.fields = nn.Conv2d(wide, wide // 4, 1, groups=_GROUPS[0])
        self.whole = nn.Conv2d(wide // 4, wide, _FIELDS, groups=_GROUPS[1])
        self.table = nn.Embedding(len(drawn), width) if settings.ids else None
        self.projection = nn.Linear(wide + (width if settings.ids else 0), width)
        nn.init.zeros_(self.projection.bias)
        if self.table is not None:
            nn.init.normal_(self.table.weight, std=read)
        if not self.strokes.weight.is_meta:
            self._standardise(read)

    def rows(self, ids: Tensor) -> Tensor:
        """(n,) -> (n, e)."""
        glyphs = self.glyphs(self.drawn[ids])
        return self.projection(glyphs if self.table is None else torch.cat([glyphs, self.table(ids)], dim=-1))

    def glyphs(self, drawn: Tensor) -> Tensor:
        """Pictures (n, 16, 16) -> vectors (n, c)."""
        return self.whole(self.fields(F.relu(self.maxima(drawn)))).flatten(1)

    def maxima(self, drawn: Tensor) -> Tensor:
        """The convolution's largest output in each field: (n, 16, 16) -> (n, c, 2, 2)."""
        weight, bias = self.strokes.weight, self.strokes.get_parameter("bias")
        return pooled.maxima(drawn.to(weight.dtype), weight, _FIELDS) + bias.view(-1, 1, 1)

    @torch.no_grad()
    def _standardise(self, deviation: float) -> None:
        """Begin with convolutions whose outputs have mean 0 and deviation 1 over the vocabulary, of g the one given."""
        drawn = self.drawn[self.drawn.flatten(1).any(1)]
        if not len(drawn):
            return
        _standardise(self.strokes, self.maxima(drawn))
        found = F.relu(self.maxima(drawn))
        _standardise(self.fields, self.fields(found))
        _standardise(self.whole, self.whole(self.fields(found)), deviation)


def _standardise(layer: nn.Conv2d, outputs: Tensor, wanted: float = 1.0) -> None:
    """Give each channel of the outputs (n, c, ...) mean 0 and a standard deviation; a constant one is centred alone."""
    each = outputs.transpose(0, 1).flatten(1)
    deviation = each.std(1, correction=0)
    scale = torch.where(deviation > _CONSTANT, wanted / deviation, 1.0)
    layer.weight.mul_(scale.view(-1, 1, 1, 1))
    layer.get_parameter("bias").sub_(each.mean(1)).mul_(scale)


def _characters(tokenizer: Any) -> list[str]:
    """Of each id the character that it is; empty for special tokens and pieces of several."""
    special = set(tokenizer.all_special_ids)
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    return [token if token and len(token) == 1 and number not in special else "" for number, token in enumerate(tokens)]

"""ELMo's character CNN: a token's embedding is made of its characters (Peters et al. 2018, Kim et al. 2016).

    c        (n, k) characters of n tokens, k = 50 at most: begin, UTF-8 bytes, end, padding
    x_w      max over places of relu(conv_w(E c))        for each width w = 1, 2, .., 7: (n, f_w)
    x        [x_1; ..; x_7]                              (n, f)
    x        g x + (1 - g) relu(W x + b),  g = sigmoid(V x + v)      twice: highways
    e        P x + p                                     (n, e)

https://arxiv.org/abs/1802.05365, https://arxiv.org/abs/1508.06615. Characters are bytes of UTF-8, as in the released
code, so that 256 codes write every script. Beside them are padding, whose embedding is zero, the begin and the end of a
token, and one code for each special token. Highways begin by carrying x on: v = 2. A token of a vocabulary of pieces is
read as the vocabulary writes it (`##ing`, `Ġthe`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lm_lab.backbones.embeddings.base import FRESH, ComputedEmbeddings, TokenEmbeddings
from lm_lab.errors import UsageError

_PADDING, _BEGIN, _END, _SPECIAL = 0, 257, 258, 259  # a byte is itself + 1; special tokens follow
_CARRY = 2.0


@dataclass(frozen=True)
class CharacterCNN(TokenEmbeddings):
    """ELMo's; the defaults are the published ones.

    Args:
        filters: how many of width 1, 2, 3, ...
        size: width of a character's embedding.
        longest: of a token, in bytes with its begin and end; the rest of a longer one is not read.
        highways: how many layers.
    """

    filters: tuple[int, ...] = (32, 32, 64, 128, 256, 512, 1024)
    size: int = 16
    longest: int = 50
    highways: int = 2

    def __post_init__(self) -> None:
        if not self.filters or min(*self.filters, self.size, self.longest - 2, self.highways + 1) < 1:
            raise UsageError(f"{self}: expected 1 or more filters of each width, size, and longest 3 or more.")
        if len(self.filters) > self.longest:
            raise UsageError(f"filters of width {len(self.filters)} are wider than longest={self.longest}.")

    def build(self, tokenizer: Any, width: int, deviation: float = FRESH) -> "CharacterConvolutions":  # noqa: ARG002
        """The module; one row of characters for each id. It begins as published, whatever the table's deviation."""
        return CharacterConvolutions(self, codes(tokenizer, self.longest), width)


class CharacterConvolutions(ComputedEmbeddings):
    """What `CharacterCNN` builds.

    Args:
        settings: sizes.
        characters: (V, k) of each id, as `codes` gives them.
        width: e.
    """

    characters: Tensor

    def __init__(self, settings: CharacterCNN, characters: Tensor, width: int) -> None:
        super().__init__(len(characters), width)
        self.register_buffer("characters", characters, persistent=False)
        self.table = nn.Embedding(int(characters.max()) + 1, settings.size, padding_idx=_PADDING)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(settings.size, count, width) for width, count in enumerate(settings.filters, 1)
        )
        total = sum(settings.filters)
        self.highways = nn.ModuleList(Highway(total) for _ in range(settings.highways))
        self.projection = nn.Linear(total, width)
        nn.init.uniform_(self.table.weight, -1.0, 1.0)
        with torch.no_grad():
            self.table.weight[_PADDING] = 0

    def rows(self, ids: Tensor) -> Tensor:
        """(n,) -> (n, e)."""
        read = self._trimmed(self.characters[ids])
        embedded = self.table(read).transpose(1, 2)  # (n, size, k)
        found = torch.cat([F.relu(layer(embedded).amax(-1)) for layer in self.convolutions], dim=-1)
        for highway in self.highways:
            found = highway(found)
        return self.projection(found)

    def _trimmed(self, characters: Tensor) -> Tensor:
        """(n, k) without padding that changes no maximum: a window of padding alone is left for each width."""
        used = int((characters != _PADDING).sum(1).max()) if len(characters) else 0
        return characters[:, : max(used + len(self.convolutions), len(self.convolutions))]


class Highway(nn.Module):
    """g x + (1 - g) relu(W x + b), with a gate that begins by carrying x on (Srivastava et al. 2015)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.transform, self.gate = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.constant_(self.gate.bias, _CARRY)

    def forward(self, x: Tensor) -> Tensor:
        """(n, f) -> (n, f)."""
        gate = self.gate(x).sigmoid()
        return gate * x + (1 - gate) * F.relu(self.transform(x))


def codes(tokenizer: Any, longest: int) -> Tensor:
    """Characters (V, longest) of each id of a tokenizer's vocabulary."""
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    special = {token: _SPECIAL + number for number, token in enumerate(sorted(tokenizer.all_special_tokens))}
    return _table([_of_token(token or "", special.get(token), longest) for token in tokens], longest)


def _of_token(token: str, special: int | None, longest: int) -> list[int]:
    own: Iterable[int] = (byte + 1 for byte in token.encode()[: longest - 2]) if special is None else [special]
    return [_BEGIN, *own, _END]


def _table(rows: Sequence[Sequence[int]], longest: int) -> Tensor:
    found = torch.full((len(rows), longest), _PADDING)
    for number, row in enumerate(rows):
        found[number, : len(row)] = torch.tensor(row)
    return found

"""From hidden states to scores: choose layers, mix them, pool tokens or keep each, join a pair's texts, score.

Everything up to the pooled vectors is fixed where the backbone is frozen, so those may be computed once and kept.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from lm_lab.backbones import Backbone
from lm_lab.backbones.pooling import Pooling, combine, pool
from lm_lab.heads.base import Head
from lm_lab.heads.mix import ScalarMix
from lm_lab.tokens import MARKED

Text = dict[str, Tensor]  # what a backbone reads of one input: ids and mask (b, t), and what it asks for


class AttentionPooling(nn.Module):
    """sum_t softmax_t(q . h_t / sqrt d) h_t over the real tokens, with a learned q; q = 0 starts at the mean."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(width))

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """hidden (b, t, d), mask (b, t) -> (b, d)."""
        scores = (hidden @ self.query.to(hidden.dtype)) / hidden.shape[-1] ** 0.5
        weights = scores.masked_fill(mask == 0, torch.finfo(scores.dtype).min).softmax(1)  # (b, t)
        return torch.einsum("bt,btd->bd", weights, hidden)


class LSTMReader(nn.Module):
    """A bidirectional LSTM over all tokens, d / 2 units each way: what ELMo's users put on frozen features."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width // 2, batch_first=True, bidirectional=True)

    def states(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """hidden (b, t, d), mask (b, t), padded on the right -> a vector a token (b, t, d)."""
        read, _ = self.lstm(self._packed(hidden, mask))
        return pad_packed_sequence(read, batch_first=True, total_length=hidden.shape[1])[0]

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """The last state of each direction: (b, d)."""
        _, (last, _) = self.lstm(self._packed(hidden, mask))
        return torch.cat([last[0], last[1]], dim=-1)

    @staticmethod
    def _packed(hidden: Tensor, mask: Tensor) -> "torch.nn.utils.rnn.PackedSequence":
        return pack_padded_sequence(hidden.float(), mask.sum(1).cpu(), batch_first=True, enforce_sorted=False)


class Readout(Head):
    """Reads hidden states: a vector a text, or one a token.

    Args:
        layers: hidden states to read.
        mix: how they become one; None for a single layer.
        scorer: from vectors (..., inputs) to scores.
    """

    def __init__(self, layers: tuple[int, ...], mix: ScalarMix | None, scorer: nn.Module) -> None:
        super().__init__()
        self.layers, self.mix, self.scorer = layers, mix, scorer

    @abstractmethod
    def pooled(self, states: Sequence[Tensor], text: Text) -> Tensor:
        """What is read of one text, a layer n at a time; states (b, t, d) for each of `layers`."""

    @abstractmethod
    def vector(self, pooled: Tensor) -> Tensor:
        """What the scorer sees; `pooled` of one or two texts (b, texts, ...)."""

    def forward(self, pooled: Tensor) -> Tensor:
        """Scores of `features`: (b, outputs), or (b, t, outputs)."""
        return self.scorer(self.vector(pooled))

    def scores(self, backbone: Backbone, batch: dict[str, Any]) -> Tensor:
        """Scores of a batch: (b, outputs), or (b, t, outputs)."""
        return self(self.features(backbone, batch))

    def features(self, backbone: Backbone, batch: dict[str, Any]) -> Tensor:
        """Pooled states of each text (b, texts, layers, d), or of each token (b, 1, t, layers, d).

        Taken from the batch if it brings them.
        """
        if "features" in batch:
            return batch["features"]
        return torch.stack([self.read(backbone, text)[0] for text in batch["texts"]], dim=1)

    def read(self, backbone: Backbone, text: Text) -> tuple[Tensor, Tensor]:
        """What is read of one text, and its final hidden states (b, t, d)."""
        own = {name: values for name, values in text.items() if name != MARKED.name}
        if self.layers == (backbone.num_layers,):
            states = [backbone.last(**own)]
            final = states[0]
        else:
            found = backbone(**own)
            states, final = [found[layer] for layer in self.layers], found[-1]
        return self.pooled(states, text), final

    def prepared(self, states: Sequence[Tensor], mask: Tensor) -> list[Tensor]:
        """The states, normalised where the mix asks for it."""
        return [state if self.mix is None else self.mix.prepare(state, mask) for state in states]

    def mixed(self, pooled: Tensor) -> Tensor:
        """(..., n, d) -> (..., d)."""
        return pooled[..., 0, :] if self.mix is None else self.mix(pooled)


class TextReadout(Readout):
    """A vector a text; pooling as in `lm_lab.backbones.pooling`, width: d of the hidden states.

    Where the data marks words, the vector is of their tokens alone.

    With `added`, the vectors of two inputs are added, as GPT does with both orders of a pair.
    """

    def __init__(
        self,
        layers: tuple[int, ...],
        mix: ScalarMix | None,
        scorer: nn.Module,
        pooling: Pooling,
        width: int,
        added: bool = False,
    ) -> None:
        super().__init__(layers, mix, scorer)
        self.added = added
        self.pool: Callable[[Tensor, Tensor], Tensor]
        if pooling == "attention":
            self.pool = AttentionPooling(width)
        elif pooling == "lstm":
            self.pool = LSTMReader(width)
        else:
            self.pool = partial(pool, how=pooling)

    @property
    def fixed_features(self) -> bool:
        """False for attention and an LSTM, which learn what to look at."""
        return not isinstance(self.pool, nn.Module)

    def pooled(self, states: Sequence[Tensor], text: Text) -> Tensor:
        """One vector a layer: (b, n, d)."""
        mask = text["attention_mask"]
        shown = text.get(MARKED.name, mask)
        return torch.stack([self.pool(state, shown) for state in self.prepared(states, mask)], dim=1).float()

    def vector(self, pooled: Tensor) -> Tensor:
        """Pooled states of one or two inputs (b, texts, n, d) -> (b, d), or (b, 4 d) for a bi-encoder."""
        return joined(self.mixed(pooled), self.added)


class TokenReadout(Readout):
    """A vector a token, of one text; with `lstm`, a bidirectional LSTM reads the states first."""

    def __init__(
        self, layers: tuple[int, ...], mix: ScalarMix | None, scorer: nn.Module, lstm: bool, width: int
    ) -> None:
        super().__init__(layers, mix, scorer)
        self.reader = LSTMReader(width) if lstm else None

    @property
    def fixed_features(self) -> bool:
        """False with an LSTM."""
        return self.reader is None

    def pooled(self, states: Sequence[Tensor], text: Text) -> Tensor:
        """(b, t, n, d)."""
        mask = text["attention_mask"]
        prepared = self.prepared(states, mask)
        read = prepared if self.reader is None else [self.reader.states(state, mask) for state in prepared]
        return torch.stack(read, dim=2).float()

    def vector(self, pooled: Tensor) -> Tensor:
        """(b, 1, t, n, d) -> (b, t, d)."""
        return self.mixed(pooled[:, 0])


def joined(vectors: Tensor, added: bool) -> Tensor:
    """Vectors of one or two inputs (b, texts, d) -> (b, d), their sum if `added`, or (b, 4 d) for a bi-encoder."""
    if vectors.shape[1] == 1 or added:
        return vectors.sum(1)
    return combine(vectors[:, 0], vectors[:, 1])

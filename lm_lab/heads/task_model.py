"""A model of the task's own over frozen features: its word embeddings beside a mix of layers (Peters et al. 2018).

    y_t = LSTM([E' x_t; gamma sum_j softmax(w)_j h_{j,t}])        both ways, m units each: (b, t, 2m)

https://arxiv.org/abs/1802.05365, section 3.3. E' (V, e) and the LSTM are the task's and train; the h need not. They are
mixed token by token, before the LSTM reads them; a text is then pooled of y.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from lm_lab.backbones.pooling import FixedPooling, pool
from lm_lab.heads.mix import ScalarMix
from lm_lab.heads.readout import Readout, Text, joined


class TaskModel(nn.Module):
    """Own embeddings and a bidirectional LSTM.

    Args:
        count: V, of token ids.
        size: e, of an own embedding.
        inputs: width of the mix.
        hidden: m, units of either direction.
        dropout: on what the LSTM reads.
    """

    def __init__(self, count: int, size: int, inputs: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.width = 2 * hidden
        self.embeddings = nn.Embedding(count, size)
        nn.init.normal_(self.embeddings.weight, std=0.1)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(size + inputs, hidden, batch_first=True, bidirectional=True)

    def forward(self, ids: Tensor, mixed: Tensor, mask: Tensor) -> Tensor:
        """ids and mask (b, t), padded on the right, mixed (b, t, d) -> (b, t, 2m)."""
        read = self.dropout(torch.cat([self.embeddings(ids), mixed.float()], dim=-1))
        packed = pack_padded_sequence(read, mask.sum(1).cpu(), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=ids.shape[1])[0]


class TaskReadout(Readout):
    """Reads with a model of the task's own.

    Args:
        model: of the task.
        layers: hidden states to read.
        mix: how they become one.
        scorer: from its states to scores.
        pooling: how a text is read of them; None for a vector a token.
        added: the vectors of two inputs are added.
    """

    mix: ScalarMix
    fixed_features = False

    def __init__(
        self,
        model: TaskModel,
        layers: tuple[int, ...],
        mix: ScalarMix,
        scorer: nn.Module,
        pooling: FixedPooling | None,
        added: bool = False,
    ) -> None:
        super().__init__(layers, mix, scorer)
        self.model, self.pooling, self.added = model, pooling, added

    def pooled(self, states: Sequence[Tensor], text: Text) -> Tensor:
        """(b, 1, 2m), or (b, t, 1, 2m) of tokens: as one layer."""
        mask = text["attention_mask"]
        mixed = self.mix(torch.stack(self.prepared(states, mask), dim=2))
        read = self.model(text["input_ids"], mixed, mask)
        return (read if self.pooling is None else pool(read, mask, self.pooling)).unsqueeze(-2)

    def vector(self, pooled: Tensor) -> Tensor:
        """(b, texts, 1, 2m) -> (b, 2m), or (b, 8m) for a bi-encoder; of tokens (b, 1, t, 1, 2m) -> (b, t, 2m)."""
        vectors = pooled[..., 0, :]
        return vectors[:, 0] if self.pooling is None else joined(vectors, self.added)

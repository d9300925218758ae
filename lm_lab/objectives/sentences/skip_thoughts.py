"""Skip-thoughts: write the sentences before and after this one (Kiros et al. 2015, https://arxiv.org/abs/1506.06726).

    loss = - mean_t log p(next_t | next_<t, v) - mean_t log p(previous_t | previous_<t, v)        v = f(s), (d,)

Each of two decoders, an LSTM here, reads [E x_{t-1}; v] and predicts with the table of embeddings E.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.backbones.pooling import FixedPooling
from lm_lab.errors import UsageError
from lm_lab.objectives.base import Loss, Objective
from lm_lab.objectives.sentences.neighbours import by_length, follows, pooling_of, vectors


class SentenceDecoder(nn.Module):
    """Writes a sentence given a vector.

    Args:
        embedding: e, width of embeddings.
        given: d, width of the vector.
        width: of the LSTM.
    """

    def __init__(self, embedding: int, given: int, width: int) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(embedding))
        self.lstm = nn.LSTM(embedding + given, width, batch_first=True)
        self.output = nn.Linear(width, embedding)

    def forward(self, vector: Tensor, ids: Tensor, table: Tensor) -> Tensor:
        """Of each token of sentences (b, t), given vectors (b, d), what predicts it: (b, t, e)."""
        before = torch.cat([self.start.expand(len(ids), 1, -1), F.embedding(ids[:, :-1], table)], dim=1)
        read = torch.cat([before, vector.unsqueeze(1).expand(-1, ids.shape[1], -1)], dim=-1)
        found: Tensor = self.output(self.lstm(read)[0])
        return found


class SkipThoughts(Objective):
    """A sentence's vector tells the sentences around it.

    Args:
        backbone: reads the sentence; its table of embeddings is the decoders' too.
        width: of the decoders.
        pooling: of tokens to a sentence; None: the mean, or a decoder's last token.

    Raises:
        UsageError: a number out of range, an encoder-decoder, or a backbone without layers or without a table.
    """

    def __init__(self, backbone: Backbone, width: int = 2400, pooling: FixedPooling | None = None) -> None:
        super().__init__()
        if width < 1:
            raise UsageError(f"width={width}: expected 1 or more.")
        self.pooling = pooling_of(self, backbone, pooling)
        vocabulary, embedding = backbone.token_embeddings.shape
        self.after, self.before = (SentenceDecoder(embedding, backbone.hidden_size, width) for _ in range(2))
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        tokenizer = backbone.tokenizer
        self.starts = [token for token in (tokenizer.cls_token_id, tokenizer.bos_token_id) if token is not None]

    def forward(self, backbone: Backbone, batch: Mapping[str, Tensor]) -> Loss:
        """Return the mean loss over the tokens of both neighbours, each by name; none for what begins a row."""
        return self.written(backbone, batch, vectors(backbone, batch, self.pooling))

    def written(self, backbone: Backbone, batch: Mapping[str, Tensor], vector: Tensor) -> Loss:
        """The same, given the sentences' vectors (b, d), which need not be their own."""
        following = follows(batch)
        parts, counts, targets = {}, {}, []
        for name, decoder, given, written in (
            ("next", self.after, vector[:-1], slice(1, None)),
            ("previous", self.before, vector[1:], slice(None, -1)),
        ):
            loss, ids = self._one(backbone, decoder, given[following], batch, written, following)
            parts[name], counts[name] = loss, len(ids)
            targets.append(ids)
        return Loss(parts, counts, targets=torch.cat(targets))

    def _one(
        self,
        backbone: Backbone,
        decoder: SentenceDecoder,
        given: Tensor,
        batch: Mapping[str, Tensor],
        which: slice,
        following: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The loss of the sentences that are written, and their tokens (n,)."""
        ids, mask = (batch[name][which][following] for name in ("input_ids", "attention_mask"))
        table = backbone.token_embeddings
        real = mask.bool() & ~torch.isin(ids, torch.tensor(self.starts, device=ids.device, dtype=ids.dtype))
        states, targets = [], []
        for rows, longest in by_length(mask):
            text, kept = ids[rows, :longest], real[rows, :longest]
            states.append(decoder(given[rows], text, table)[kept])
            targets.append(text[kept])
        scores, wanted = F.linear(torch.cat(states), table, self.bias).float(), torch.cat(targets)
        return F.cross_entropy(scores, wanted) if len(wanted) else scores.sum(), wanted

"""SpanBERT: hidden spans predicted token by token, and again from their two outside boundaries (Joshi et al. 2020).

    x~, y = corrupt(x)                              spans of whole words, 15% of the tokens (masking.py)
    h = backbone(x~)                                (b, t, d)
    h0 = [h_(s-1); h_(e+1); p_(i-s+1)]              of token i in the span s..e; p (k, 200) positions
    h1 = LayerNorm(gelu(W1 h0)),  h2 = LayerNorm(gelu(W2 h1))
    loss = cross_entropy(MLM head(h_i) E^T + bias, y) + weight * cross_entropy(h2 E^T + bias', y)

https://arxiv.org/abs/1907.10529. The released code merges spans that touch, which makes longer ones; here each keeps
its own boundaries, and such a boundary may itself be hidden. There is no next-sentence prediction.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives.base import Loss, Objective, model_inputs, require_context
from lm_lab.objectives.masked.corruption import Corrupted
from lm_lab.objectives.masked.masked_lm import MaskedLM, embeddings
from lm_lab.objectives.masked.masking import Masking, SpanMasking
from lm_lab.objectives.token_head import TokenHead

_MOST = 65_536  # places, and their width: more would only be waited for


class SpanBERT(Objective):
    """Masked language model of spans plus the span boundary objective.

    Args:
        backbone: gives the tokenizer's special ids and the embeddings both decoders are tied to.
        probability: share of the tokens to predict, above 0 and at most 1.
        masking: None takes `SpanMasking()`.
        static: number of fixed maskings of each text; 0 draws masks anew at every use.
        weight: of the boundary objective.
        position_size: width of the embedding of a token's place in its span.
        positions: how many places are told apart; tokens farther on share the last.

    Raises:
        UsageError: as `MaskedLM`, or a width or number of positions below 1.
    """

    def __init__(
        self,
        backbone: Backbone,
        probability: float = 0.15,
        masking: Masking | None = None,
        static: int = 0,
        weight: float = 1.0,
        position_size: int = 200,
        positions: int = 20,
    ) -> None:
        super().__init__()
        require_context(self, backbone)
        self.masked_lm = MaskedLM(backbone, probability, masking or SpanMasking(), static)
        size, width = embeddings(backbone).shape
        self.boundary = SpanBoundary(backbone.hidden_size, width, size, position_size, positions)
        self.weight = weight

    def forward(self, backbone: Backbone, batch: Mapping[str, Tensor]) -> Loss:
        """Return the sum of both losses, each by name, and both accuracies on the masked positions."""
        corrupted: Corrupted = self.masked_lm.corrupt({**batch, "attention_mask": inner(batch["attention_mask"])})
        hidden, table = backbone.last(**model_inputs(batch, corrupted.input_ids)), embeddings(backbone)
        plain = self.masked_lm.predict(hidden, corrupted.targets, table)
        targets = corrupted.targets[corrupted.units >= 0]
        boundary = Loss.of_tokens("span_boundary", self.boundary(hidden, corrupted.units, table), targets)
        return Loss(
            plain.parts | boundary.parts,
            plain.counts | boundary.counts | {"boundary_accuracy": len(targets)},
            plain.metrics | {"boundary_accuracy": boundary.metrics["accuracy"]},
            weights={"span_boundary": self.weight},
            targets=targets,
        )


class SpanBoundary(nn.Module):
    """Scores of the tokens of spans from the vectors just outside and their places inside.

    Args:
        hidden_size: width d of the hidden states.
        width: width e of the embeddings.
        size: number v of tokens.
        position_size: width of the embedding of a place.
        positions: number of places.
    """

    def __init__(self, hidden_size: int, width: int, size: int, position_size: int, positions: int) -> None:
        super().__init__()
        for name, value in (("position_size", position_size), ("positions", positions)):
            if not 1 <= value <= _MOST:
                raise UsageError(
                    f"{name}={value}: the boundary objective needs 1 or more, {_MOST:,} at most (200 wide, 20)."
                )
        self.positions = nn.Embedding(positions, position_size)
        self.dense = nn.Linear(2 * hidden_size + position_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=1e-12)
        self.head = TokenHead(hidden_size, width, size)
        for weight in (self.positions.weight, self.dense.weight):
            nn.init.normal_(weight, std=0.02)
        nn.init.zeros_(self.dense.bias)

    def forward(self, hidden: Tensor, units: Tensor, table: Tensor) -> Tensor:
        """Scores (n, v) of the n tokens in spans, from states (b, t, d), units (b, t) and embeddings (v, e).

        A span must leave a position free on either side of it in its row.
        """
        row, position = (units >= 0).nonzero(as_tuple=True)
        left, right = (edge[row, position] for edge in boundaries(units))
        place = (position - left - 1).clamp(max=self.positions.num_embeddings - 1)
        inputs = torch.cat([hidden[row, left], hidden[row, right], self.positions(place)], dim=-1)
        return self.head(self.norm(F.gelu(self.dense(inputs))), table)


def boundaries(units: Tensor) -> tuple[Tensor, Tensor]:
    """Positions just outside the unit of each token: left and right of it, each (b, t).

    Spans that touch stay apart, because their numbers differ. Where no unit is, the result has no meaning.
    """
    positions = torch.arange(units.shape[1], device=units.device).expand_as(units)
    changes = F.pad(units[:, 1:] != units[:, :-1], (1, 1), value=True)  # (b, t + 1), before each position
    left = torch.where(changes[:, :-1], positions, 0).cummax(dim=1).values - 1
    right = torch.where(changes[:, 1:], positions, units.shape[1]).flip(1).cummin(dim=1).values.flip(1) + 1
    return left, right


def inner(attention_mask: Tensor) -> Tensor:
    """Tokens with a neighbour on either side, (b, t): only they can lie in a span that has two boundaries."""
    padded = F.pad(attention_mask, (1, 1))
    return attention_mask * padded[:, :-2] * padded[:, 2:]

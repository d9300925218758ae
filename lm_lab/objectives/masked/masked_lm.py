"""Masked language modelling: predict hidden tokens from both sides (Devlin et al. 2019, BERT).

    x~, y = corrupt(x)              15% of the tokens of each row
    h = backbone(x~)                (b, t, d)
    z = LayerNorm(gelu(W h + c))    on the n chosen positions alone: (n, e)
    loss = cross_entropy(z E^T + bias, y)        E (v, e): the input embeddings, tied

It differs from the released code in three ways: masks are drawn anew in every epoch unless `static` is set, at least
one and exactly round(15%) positions of each row are chosen, and a random replacement is never a special token.
"""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.objectives.base import Loss, Objective, model_inputs, require_context
from lm_lab.objectives.masked.corruption import Corrupted, Corruption
from lm_lab.objectives.masked.masking import Masking
from lm_lab.objectives.masked.noise import IGNORED
from lm_lab.objectives.token_head import TokenHead


class MaskedLM(Objective):
    """BERT's masked language model. In eval mode a batch is always masked in the same way.

    Args:
        backbone: gives the tokenizer's special ids and the embeddings the decoder is tied to.
        probability: share of the tokens to predict, above 0 and at most 1.
        masking: what is hidden together: `TokenMasking`, the default, `WholeWordMasking`, `NGramMasking`,
            `SpanMasking` or `EntityMasking`.
        static: number of fixed maskings of each text, 10 in BERT's data; 0 draws masks anew at every use.

    Raises:
        UsageError: no layer of the backbone reads context, the tokenizer has no mask token, its ids exceed the
            embeddings, or a number is out of range.
    """

    name: ClassVar[str] = "masked_lm"  # of its part of a loss

    def __init__(
        self, backbone: Backbone, probability: float = 0.15, masking: Masking | None = None, static: int = 0
    ) -> None:
        super().__init__()
        require_context(self, backbone)
        self.corrupt = Corruption(backbone, probability, masking, static)
        size, width = embeddings(backbone).shape
        self.head = TokenHead(backbone.hidden_size, width, size)

    def forward(self, backbone: Backbone, batch: Mapping[str, Tensor]) -> Loss:
        """Return the mean cross entropy and the accuracy on the masked positions of a batch."""
        corrupted: Corrupted = self.corrupt(batch)
        hidden = backbone.last(**model_inputs(batch, corrupted.input_ids))
        return self.predict(hidden, corrupted.targets, embeddings(backbone))

    def predict(self, hidden: Tensor, targets: Tensor, table: Tensor) -> Loss:
        """Return the loss of hidden states (b, t, d), given targets (b, t) and the table of embeddings (v, e)."""
        chosen = targets != IGNORED
        return Loss.of_states(self.name, self.head.factors(hidden[chosen], table), targets[chosen], hidden)


def embeddings(backbone: Backbone) -> Tensor:
    """Return the input embeddings (v, e), looked up at each use: tied, yet no parameter of the objective."""
    return backbone.token_embeddings

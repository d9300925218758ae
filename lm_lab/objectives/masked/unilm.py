"""UniLM: one masked language model under four kinds of attention (Dong et al. 2019, https://arxiv.org/abs/1905.03197).

    kind                    share   token i sees token j if
    bidirectional           1/3     always
    sequence to sequence    1/3     j is in the source, or j <= i; a token of the source sees the source alone
    left to right           1/6     j <= i
    right to left           1/6     j >= i

No token sees padding. The kind is drawn for each row; what is masked, the head and the loss are those of `MaskedLM`. A
left-to-right row is causal everywhere, its special tokens included. The source is a text's first segment with its
separator, or, in a text of one segment, a beginning of random length. It differs from the paper in two things: there
is no next-sentence prediction, and the kinds have no segment embeddings of their own.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.backbones.attention import attention_mask
from lm_lab.backbones.families import ROWS
from lm_lab.backbones.transformers_backbone import require_transformers
from lm_lab.errors import UsageError
from lm_lab.objectives.base import Loss, model_inputs
from lm_lab.objectives.masked.corruption import Corrupted
from lm_lab.objectives.masked.masked_lm import MaskedLM, embeddings
from lm_lab.objectives.masked.masking import Masking

KINDS = ("bidirectional", "sequence_to_sequence", "left_to_right", "right_to_left")
SHARES = (1 / 3, 1 / 3, 1 / 6, 1 / 6)


class UniLM(MaskedLM):
    """Masked language modelling with attention masks mixed. In eval mode a batch always gets the same ones.

    Args:
        backbone: an encoder of the BERT kind, whose attention takes a mask of queries and keys.
        probability: share of the tokens to predict, above 0 and at most 1.
        masking: what is hidden together; None takes single tokens.
        static: number of fixed maskings of each text; 0 draws masks anew at every use.

    Raises:
        UsageError: the backbone takes no such mask, or what `MaskedLM` raises.
    """

    def __init__(
        self, backbone: Backbone, probability: float = 0.15, masking: Masking | None = None, static: int = 0
    ) -> None:
        if not require_transformers(backbone, type(self).__name__).family.row.masks:
            raise UsageError(
                f"{backbone.kind}: UniLM needs an encoder that takes a mask of queries and keys; "
                f"give one of {', '.join(kind for kind, row in ROWS.items() if row.masks)}."
            )
        super().__init__(backbone, probability, masking, static)

    def forward(self, backbone: Backbone, batch: Mapping[str, Tensor]) -> Loss:
        """Return the mean cross entropy and the accuracy on the masked positions of a batch."""
        corrupted: Corrupted = self.corrupt(batch)
        allowed = self.allowed(batch, self.corrupt.generator(batch["input_ids"].device))
        inputs = model_inputs(batch, corrupted.input_ids) | {"attention_mask": attention_mask(backbone, allowed)}
        return self.predict(backbone.last(**inputs), corrupted.targets, embeddings(backbone))

    def allowed(self, batch: Mapping[str, Tensor], generator: torch.Generator | None = None) -> Tensor:
        """Draw a kind for each row and say which keys a query sees, (b, query, key) bool."""
        real = batch["attention_mask"].bool()
        shares = torch.tensor(SHARES, device=real.device)
        kinds = torch.multinomial(shares, len(real), replacement=True, generator=generator)
        return visible(real, sources(real, batch.get("token_type_ids"), generator), kinds)


def sources(real: Tensor, segments: Tensor | None, generator: torch.Generator | None = None) -> Tensor:
    """Which tokens are the source, (b, t) bool.

    Args:
        real: (b, t) bool.
        segments: (b, t), 0 for the first segment of a pair and 1 for the second; None where the family has none.
        generator: on the same device; None uses torch's own.

    Returns:
        The first segment of a pair; of a single one of L tokens the first 1 to L - 1, all equally likely.
    """
    length = real.sum(dim=1, keepdim=True)
    drawn = torch.rand(length.shape, generator=generator, device=real.device)
    begin = torch.arange(real.shape[1], device=real.device) < 1 + (drawn * (length - 1)).long()
    if segments is None:
        return real & begin
    second = (segments == 1) & real
    return real & torch.where(second.any(dim=1, keepdim=True), ~second, begin)


def visible(real: Tensor, source: Tensor, kinds: Tensor) -> Tensor:
    """Which keys a query sees, (b, query, key) bool.

    Args:
        real: (b, t) bool; padding is on the right. It sees itself, so that no query is without a key.
        source: (b, t) bool, a beginning of each row.
        kinds: (b,), numbers of `KINDS`.
    """
    place = torch.arange(real.shape[1], device=real.device)
    left = place <= place[:, None]  # (t, t): key no later than query
    every = torch.ones_like(left)
    seen = torch.stack([every, left, left, left.T])[kinds]  # (b, t, t)
    seen = seen | ((kinds == 1)[:, None, None] & source[:, None, :])
    return (seen & real[:, None, :]) | torch.eye(len(place), dtype=torch.bool, device=real.device)

"""StructBERT's words: masked language modelling, and the order of shuffled trigrams (Wang et al. 2020, ALICE).

    x~, y = corrupt(x)                              15% of the tokens
    x', o = shuffle(x~)                             5% of the trigrams without a chosen or special token
    loss = mean over i of cross_entropy(z_i E^T + bias, original token i)        at masked and at shuffled positions

https://arxiv.org/abs/1908.04577, section 2.2. Both kinds of positions weigh the same and share one head and one pass.
Trigrams do not overlap. A shuffle may leave a trigram, or a token of it, where it was: one order in six.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives.base import Loss, model_inputs
from lm_lab.objectives.masked.corruption import Corrupted
from lm_lab.objectives.masked.masked_lm import MaskedLM, embeddings
from lm_lab.objectives.masked.masking import Masking
from lm_lab.objectives.masked.noise import IGNORED, uniform

_SPAN = 3


class WordStructure(MaskedLM):
    """Masked language modelling with shuffled trigrams to put in order. In eval mode a batch is always the same.

    Args:
        backbone: as for `MaskedLM`.
        probability: share of the tokens to mask.
        shuffled: share of the trigrams of unmasked tokens to shuffle, from 0 to 1.
        masking: what is hidden together; None takes single tokens.
        static: number of fixed maskings of each text; 0 draws masks anew at every use.

    Raises:
        UsageError: `shuffled` is no share, or what `MaskedLM` raises.
    """

    name: ClassVar[str] = "word_structure"

    def __init__(
        self,
        backbone: Backbone,
        probability: float = 0.15,
        shuffled: float = 0.05,
        masking: Masking | None = None,
        static: int = 0,
    ) -> None:
        if not 0 <= shuffled <= 1:
            raise UsageError(f"shuffled={shuffled}: the share of trigrams to shuffle must be from 0 to 1.")
        super().__init__(backbone, probability, masking, static)
        self.shuffled = shuffled

    def forward(self, backbone: Backbone, batch: Mapping[str, Tensor]) -> Loss:
        """Return the mean cross entropy over masked and shuffled positions, and the accuracy on either kind."""
        generator = self.corrupt.generator(batch["input_ids"].device)
        corrupted: Corrupted = self.corrupt(batch, generator)
        free = batch["attention_mask"].bool() & (corrupted.targets == IGNORED)
        free &= ~torch.isin(batch["input_ids"], self.corrupt.special)
        ids, moved = shuffle_trigrams(corrupted.input_ids, free, self.shuffled, generator)
        targets = torch.where(moved, batch["input_ids"], corrupted.targets)
        hidden = backbone.last(**model_inputs(batch, ids))
        loss = self.predict(hidden, targets, embeddings(backbone))
        # by text: how many tokens there are in all is known on the device alone, which nothing here waits for
        share = (moved.sum(1) / batch["attention_mask"].sum(1).clamp(min=1)).mean()
        counts = loss.counts | {"shuffled": len(moved)}
        return replace(loss, metrics=loss.metrics | {"shuffled": share}, counts=counts)


def shuffle_trigrams(
    ids: Tensor, free: Tensor, share: float, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Shuffle trigrams of a batch.

    Args:
        ids: (b, t) token ids.
        free: (b, t) bool, which tokens may be moved.
        share: of the trigrams side by side, counted from a start that is drawn for each row, that are shuffled;
            each with this probability.
        generator: on the device of `ids`; None uses torch's own.

    Returns:
        The ids with trigrams shuffled (b, t), and which positions belong to such a trigram (b, t) bool.
    """
    b, t = ids.shape
    places = torch.arange(t, device=ids.device)
    start = (uniform(free[:, :1], generator) * _SPAN).long()  # (b, 1)
    slot = (places - start) % _SPAN  # place in a trigram
    number = (places - start + _SPAN).div(_SPAN, rounding_mode="floor")  # trigram, from 0
    sizes = torch.zeros(b, t + 1, dtype=torch.long, device=ids.device).scatter_add(1, number, free.long())
    chosen = (sizes == _SPAN) & (uniform(sizes, generator) < share)  # by trigram
    moved = chosen.gather(1, number)
    key = torch.where(moved, uniform(free, generator), slot / _SPAN)
    order = (number + key.clamp(max=0.999)).argsort(dim=1)  # trigrams stay in place
    return ids.gather(1, order), moved

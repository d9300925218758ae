"""MASS: hide one span of half a text, write that span (Song et al. 2019, https://arxiv.org/abs/1905.02450).

    text      A B C D E F
    encoder   A B _ _ _ F
    decoder       s C D           keeps the positions 2 3 4
    target        C D E

A span of max(1, round(probability * L)) tokens, every place equally likely; 80% of it become the mask, 10% a random
token, 10% stay. The decoder gets no position ids, as BART's model takes none: it is given the whole length with all
places outside the span masked from its attention, which gives learned positions (BART) and distances (T5) their
original values. It differs from the released code in one thing: the first token of a span is predicted from the start
token, as in the paper's figure, and not from the token before it.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.backbones.teacher_forcing import shift_right, teacher_forced
from lm_lab.errors import UsageError
from lm_lab.objectives.denoising.denoising import Denoising
from lm_lab.objectives.denoising.sequence_noise import Padded
from lm_lab.tokens import Tokens

_MASKED, _RANDOM = 0.8, 0.1


class MASS(Denoising):
    """Masked sequence to sequence: the decoder predicts the hidden span alone, and no end.

    Args:
        backbone: an encoder-decoder whose tokenizer has a mask.
        probability: share of the tokens in the span, above 0 and at most 1.

    Raises:
        UsageError: `probability` is no share, the backbone does not fit, or there is no mask.
    """

    name = "mass"
    replacements: Tensor

    def __init__(self, backbone: Backbone, probability: float = 0.5) -> None:
        super().__init__(backbone)
        if not 0 < probability <= 1:
            raise UsageError(f"probability={probability}: the share of the span must be above 0 and at most 1.")
        if backbone.tokenizer.mask_token_id is None:
            raise UsageError(
                f"The tokenizer of '{backbone.tokenizer.name_or_path}' has no mask token, which MASS needs; add one."
            )
        self.probability, self.mask_id = probability, int(backbone.tokenizer.mask_token_id)
        self.register_buffer("replacements", self.ordinary(backbone), persistent=False)

    def noise(self, ids: Tensor, real: Tensor, generator: torch.Generator | None) -> tuple[Padded, Padded]:
        """Hide a span; the second mask says where it is, among all the words."""
        span = one_span(real, self.probability, generator)
        action = torch.rand(ids.shape, generator=generator, device=ids.device)
        drawn = torch.randint(len(self.replacements), ids.shape, generator=generator, device=ids.device)
        hidden = torch.where(span & (action < _MASKED), self.mask_id, ids)
        hidden = torch.where(span & (action >= 1 - _RANDOM), self.replacements[drawn], hidden)
        return (hidden, real), (ids, span)

    def corrupt(self, batch: Mapping[str, Tensor], generator: torch.Generator | None = None) -> tuple[Tokens, Tokens]:
        """Return source and target; the target holds all words, and its `attention_mask` is 1 in the span alone."""
        ids, real = self.words(batch)
        source, (_, span) = self.noise(ids, real, generator)
        target = self.with_special_tokens((ids, real))
        span = F.pad(span, (0, target["input_ids"].shape[1] - span.shape[1]))
        span[:, 0] |= ~real.any(dim=1)  # a text without words has its end token to predict
        return self.with_special_tokens(source, self._lead(batch)), target | {"attention_mask": span.long()}

    def states(self, backbone: Backbone, source: Tokens, target: Tokens) -> Tensor:
        """The state (b, u, d) that predicts each token of the span; those outside it mean nothing."""
        span, start = target["attention_mask"].bool(), backbone.start_id
        first = span & ~F.pad(span, (1, 0))[:, :-1]
        read = shift_right(target["input_ids"], start).masked_fill(first, start)
        return teacher_forced(backbone, source, {"input_ids": read, "attention_mask": target["attention_mask"]})


def one_span(real: Tensor, probability: float, generator: torch.Generator | None = None) -> Tensor:
    """Choose max(1, round(probability * L)) neighbours of the L real tokens of each row: (b, t) bool."""
    length = real.sum(dim=1, keepdim=True)
    size = (length * probability).round().long().clamp(min=1).minimum(length)
    drawn = torch.rand(length.shape, generator=generator, device=real.device)
    start = (drawn * (length - size + 1)).long()
    place = torch.arange(real.shape[1], device=real.device)
    return real & (place >= start) & (place < start + size)

"""BART: restore a text from any combination of five kinds of noise (Lewis et al. 2020, arXiv 1910.13461).

    source = rotate(infill(delete(mask(permute(x)))))          those that are switched on, in this order
    target = x

The published model permutes all sentences and fills in for 30% of the tokens. It differs in two things: spans are of
tokens and not of whole words, and a text has its exact share of noise, one token at least.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives.denoising.bart_noise import delete, infill, mask_single, permute_sentences, rotate
from lm_lab.objectives.denoising.denoising import Denoising
from lm_lab.objectives.denoising.sequence_noise import Padded

_SHARES = ("infilling", "masking", "deletion")


class BART(Denoising):
    """BART's noises, each alone or combined; the target is the whole text.

    Args:
        backbone: an encoder-decoder whose tokenizer has a mask.
        infilling: share of the tokens that are covered by spans, each of which becomes one mask; 0 switches it off.
        mean: tokens in a span on average (Poisson), 1 or more.
        masking: share of the tokens that are masked singly; 0 switches it off.
        deletion: share of the tokens that are deleted; 0 switches it off.
        permute: puts the sentences in random order.
        rotation: lets the text begin with any of its tokens.
        ends: tokens that end a sentence.

    Raises:
        UsageError: a number is out of range, nothing is switched on, the backbone does not fit, there is no mask, or
            `permute` is on and the tokenizer has none of `ends`.
    """

    name = "bart"
    sentence_ends: Tensor

    def __init__(
        self,
        backbone: Backbone,
        infilling: float = 0.3,
        mean: float = 3.0,
        masking: float = 0.0,
        deletion: float = 0.0,
        permute: bool = True,
        rotation: bool = False,
        ends: Sequence[str] = (".", "?", "!"),
    ) -> None:
        super().__init__(backbone)
        self.infilling, self.mean, self.masking, self.deletion = infilling, mean, masking, deletion
        self.permute, self.rotation = permute, rotation
        vocabulary = backbone.tokenizer.get_vocab()
        known = sorted(vocabulary[token] for token in ends if token in vocabulary)
        self._check(known, ends)
        self.mask_id: int = _mask_id(backbone, needed=bool(infilling or masking))
        self.register_buffer("sentence_ends", torch.tensor(known, dtype=torch.long), persistent=False)

    def noise(self, ids: Tensor, real: Tensor, generator: torch.Generator | None) -> tuple[Padded, Padded]:
        """Apply what is switched on."""
        noisy, left = ids, real
        if self.permute:
            noisy = permute_sentences(ids, real, torch.isin(ids, self.sentence_ends) & real, generator)
        if self.masking:
            noisy, left = mask_single(noisy, left, self.mask_id, self.masking, generator)
        if self.deletion:
            noisy, left = delete(noisy, left, self.pad, self.deletion, generator)
        if self.infilling:
            noisy, left = infill(noisy, left, self.mask_id, self.pad, self.infilling, self.mean, generator)
        if self.rotation:
            noisy = rotate(noisy, left, generator)
        return (noisy, left), (ids, real)

    def _check(self, known: Sequence[int], ends: Sequence[str]) -> None:
        for name in _SHARES:
            if not 0 <= (share := getattr(self, name)) <= 1:
                raise UsageError(f"{name}={share}: a share of the tokens is from 0, which switches it off, to 1.")
        if not self.mean >= 1:
            raise UsageError(f"mean={self.mean}: spans cover 1 token or more on average (BART: 3).")
        if not (self.permute or self.rotation or any(getattr(self, name) for name in _SHARES)):
            raise UsageError("no noise is switched on: give infilling, masking, deletion, permute or rotation.")
        if self.permute and not known:
            raise UsageError(
                f"ends={list(ends)}: the tokenizer has none of these; name its own, or set permute: false."
            )


def _mask_id(backbone: Backbone, needed: bool) -> int:
    found = backbone.tokenizer.mask_token_id
    if found is None and needed:
        raise UsageError(
            f"The tokenizer of '{backbone.tokenizer.name_or_path}' has no mask token, which infilling and masking "
            "need; give a backbone of the BART family, or switch both off."
        )
    return -1 if found is None else int(found)

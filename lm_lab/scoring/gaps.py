"""Log-likelihoods under an encoder-decoder that fills gaps: T5 (Raffel et al. 2020, https://arxiv.org/abs/1910.10683).

    source    It <0> not good . </s>        target    <0> was        log p(was) = log p_decoder(was | <0>, source)

A run of neighbouring places is one gap with one sentinel.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.backbones.language import LanguageOutput
from lm_lab.backbones.teacher_forcing import shift_right, teacher_forced
from lm_lab.errors import UsageError
from lm_lab.objectives.denoising.span_corruption import sentinel_ids
from lm_lab.scoring.likelihood import Asked, Likelihood


class GapLikelihood(Likelihood):
    """Of a model that fills gaps.

    Args:
        backbone: an encoder-decoder with sentinels: `<extra_id_0>`, or ids behind the tokenizer's last.

    Raises:
        UsageError: it has no sentinel.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.output, self.sentinel = LanguageOutput(backbone), first_sentinel(backbone)

    @torch.no_grad()
    def distributions(self, asked: Sequence[Asked]) -> list[Tensor]:
        """Given what stands around the places of each text, which are neighbours, and the tokens of the gap before."""
        sources, gaps = zip(*(self._gap(each) for each in asked), strict=True)
        ids, real = self._padded(sources)
        target, _ = self._padded(gaps)
        read = {"input_ids": shift_right(target, self.backbone.start_id)}
        states = teacher_forced(self.backbone, {"input_ids": ids, "attention_mask": real}, read)
        sizes = [len(each.places) for each in asked]
        return [self.output(states[row, 1 : 1 + size]).float().log_softmax(-1) for row, size in enumerate(sizes)]

    def _gap(self, asked: Asked) -> tuple[list[int], list[int]]:
        """The text with a sentinel for its places, and the sentinel with what was there."""
        first, last = asked.places[0], asked.places[-1]
        assert asked.places == list(range(first, last + 1))
        source = [*asked.ids[:first], self.sentinel, *asked.ids[last + 1 :]]
        return source, [self.sentinel, *asked.ids[first : last + 1]]


def first_sentinel(backbone: Backbone) -> int:
    """The id that stands for the first gap. Raises `UsageError` where there is none."""
    try:
        return int(sentinel_ids(backbone, 1)[0])
    except UsageError as error:
        raise UsageError(
            f"{backbone.kind} has no sentinel that could stand for a hidden token; give a T5, a decoder or an encoder."
        ) from error

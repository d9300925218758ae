"""Log-likelihoods under an encoder-decoder that restores texts from masks: BART (Lewis et al. 2020, arXiv 1910.13461).

    source    It <mask> not good . </s>       target    It was not good . </s>
    log p(was) = log p_decoder(was | It, source)

BART has one mask for neighbouring places, other objectives one for each. MASS's decoder (Song et al. 2019, arXiv
1905.02450) writes what is hidden and nothing else.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.backbones.language import LanguageOutput
from lm_lab.backbones.teacher_forcing import shift_right, teacher_forced
from lm_lab.scoring.likelihood import Asked, Likelihood


class RestoringLikelihood(Likelihood):
    """Of a model that restores texts. Places that are asked for together are neighbours.

    Args:
        backbone: an encoder-decoder.
        mask_id: stands for what is hidden.
        lead: whether the decoder writes the special token in front of a text too, as the published BART does.
        one_mask: for all places, and not for each.
        hidden_alone: the decoder writes and sees the hidden tokens alone.
    """

    def __init__(
        self, backbone: Backbone, mask_id: int, lead: bool = False, one_mask: bool = True, hidden_alone: bool = False
    ) -> None:
        super().__init__(backbone)
        self.output, self.mask_id, self.one_mask, self.hidden_alone = (
            LanguageOutput(backbone), mask_id, one_mask, hidden_alone,
        )  # fmt: skip
        self.skipped = 0 if lead else len(self.before)

    @torch.no_grad()
    def distributions(self, asked: Sequence[Asked]) -> list[Tensor]:
        """Given the rest of each text, and the tokens before those places."""
        ids, real = self._padded([self._source(each) for each in asked])
        target, written = self._padded([each.ids[self.skipped :] for each in asked])
        read, start = shift_right(target, self.backbone.start_id), self.backbone.start_id
        places = [torch.tensor(each.places, device=ids.device) - self.skipped for each in asked]
        if self.hidden_alone:
            written = torch.zeros_like(written)
            for row, own in enumerate(places):
                written[row, own], read[row, own[0]] = 1, start
        decoder = {"input_ids": read, "attention_mask": written}
        states = teacher_forced(self.backbone, {"input_ids": ids, "attention_mask": real}, decoder)
        return [self.output(states[row, own]).float().log_softmax(-1) for row, own in enumerate(places)]

    def _source(self, asked: Asked) -> list[int]:
        first, last = asked.places[0], asked.places[-1]
        masks = [self.mask_id] * (1 if self.one_mask else len(asked.places))
        return [*asked.ids[:first], *masks, *asked.ids[last + 1 :]]

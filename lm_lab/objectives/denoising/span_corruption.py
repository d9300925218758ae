"""T5's span corruption (Raffel et al. 2020, https://arxiv.org/abs/1910.10683, section 3.1.4).

    text     Thank you for inviting me to your party last week
    source   Thank you <0> me to your party <1> week </s>
    target   <0> for inviting <1> last </s>

15% of the tokens in spans of 3 on average, whose number the length of the text fixes (`random_spans`): 568 tokens
become 512 of source and 114 of target, end tokens included. As in the released code, and unlike the paper's figure, the
target ends without a last sentinel. Rows are of 568 tokens only if the corpus packs them so, and the published draw
hides the very end of a text that is too short for a second span (under 30 tokens): set `roll` for short texts.
"""

import re

import torch
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives.denoising.denoising import Denoising
from lm_lab.objectives.denoising.sequence_noise import Padded, random_spans, with_sentinels


def sentinel_ids(backbone: Backbone, reserved: int) -> Tensor:
    """Ids of the sentinels, the first one first: they descend, as `<extra_id_0>` has the highest id in `transformers`.

    Args:
        backbone: gives the tokenizer, whose `<extra_id_i>` are taken if it has any.
        reserved: how many ids at the end of the embeddings to take otherwise, which no token of the tokenizer has.

    Raises:
        UsageError: the tokenizer has no such tokens, and the embeddings not enough free ids.
    """
    vocabulary: dict[str, int] = backbone.tokenizer.get_vocab()
    extra = {
        int(found[1]): id for token, id in vocabulary.items() if (found := re.fullmatch(r"<extra_id_(\d+)>", token))
    }
    if extra:
        return torch.tensor([extra[number] for number in sorted(extra)])
    size = backbone.vocabulary_size
    free = size - 1 - max(vocabulary.values())
    if not 0 < reserved <= free:
        raise UsageError(
            f"sentinels={reserved}: this tokenizer has no <extra_id_0>, so sentinels are ids behind its last token, of "
            f"which the backbone embeds {free}; set sentinels to 1 or more, and vocab_size in its config.json to "
            f"{size - free + max(reserved, 1)} or more."
        )
    return torch.arange(size - 1, size - 1 - reserved, -1)


class SentinelDenoising(Denoising):
    """Denoising where sentinels stand for what is missing.

    Args:
        backbone: an encoder-decoder.
        probability: share of the tokens that are noise, above 0 and below 1.
        sentinels: ids reserved at the end of the embeddings; needed where the tokenizer has no `<extra_id_0>`.

    Raises:
        UsageError: `probability` is not such a share, the backbone does not fit, or there are too few sentinels.
    """

    sentinels: Tensor

    def __init__(self, backbone: Backbone, probability: float = 0.15, sentinels: int = 0) -> None:
        super().__init__(backbone)
        if not 0 < probability < 1:
            raise UsageError(f"probability={probability}: the share of noise must be above 0 and below 1.")
        self.probability = probability
        self.register_buffer("sentinels", sentinel_ids(backbone, sentinels), persistent=False)


class SpanCorruption(SentinelDenoising):
    """T5's pretraining objective.

    Args:
        backbone: an encoder-decoder.
        probability: share of the tokens that are noise, above 0 and below 1.
        mean: tokens in a span on average, 1 or more.
        roll: rolls the spans by a random offset, so that every place is noise equally often.
        sentinels: ids reserved at the end of the embeddings; needed where the tokenizer has no `<extra_id_0>`.

    Raises:
        UsageError: a number is out of range, the backbone does not fit, or there are too few sentinels.
    """

    name = "span_corruption"

    def __init__(
        self,
        backbone: Backbone,
        probability: float = 0.15,
        mean: float = 3.0,
        roll: bool = False,
        sentinels: int = 0,
    ) -> None:
        super().__init__(backbone, probability, sentinels)
        if not mean >= 1:
            raise UsageError(f"mean={mean}: spans have 1 token or more on average (T5: 3).")
        self.mean, self.roll = mean, roll

    def noise(self, ids: Tensor, real: Tensor, generator: torch.Generator | None) -> tuple[Padded, Padded]:
        """Hide spans behind sentinels."""
        spans = random_spans(real, self.probability, self.mean, self.roll, generator)
        return with_sentinels(ids, real, spans, self.sentinels, self.pad)

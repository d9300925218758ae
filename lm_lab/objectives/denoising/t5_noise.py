"""The other objectives that T5 was compared with (Raffel et al. 2020, https://arxiv.org/abs/1910.10683, table 3).

    text             Thank you for inviting me to your party last week
    PrefixLM         Thank you for inviting                               -> me to your party last week
    BertStyle        Thank you <M> <M> me to your party apple week        -> the text
    Deshuffling      party me for your to last you inviting week Thank    -> the text
    MassStyle        Thank you <M> <M> me to your party <M> week          -> the text
    ReplaceSpans     Thank you <0> me to your party <1> week              -> <0> for inviting <1> last
    DropTokens       Thank you me to your party week                      -> for inviting last

Every source and target ends with the end token. `<M>` is the tokenizer's mask, or the first sentinel where it has none,
as in the released code. Positions are chosen singly; it differs in one thing: each text has exactly its share of noise,
max(1, round(probability * L)), where the released code draws for each token.
"""

import torch
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives.denoising.denoising import Denoising
from lm_lab.objectives.denoising.sequence_noise import Padded, compact, shuffle, with_sentinels
from lm_lab.objectives.denoising.span_corruption import SentinelDenoising, sentinel_ids
from lm_lab.objectives.masked.noise import choose


class PrefixLM(Denoising):
    """Read the beginning of a text, write the rest; every place to cut is equally likely."""

    name = "prefix_lm"

    def noise(self, ids: Tensor, real: Tensor, generator: torch.Generator | None) -> tuple[Padded, Padded]:
        """Cut behind 1 to L - 1 tokens; a single token is all target."""
        length = real.sum(dim=1, keepdim=True)
        drawn = torch.rand(length.shape, generator=generator, device=ids.device) * (length - 1)
        cut = torch.where(length > 1, 1 + drawn.long(), 0)
        first = torch.arange(ids.shape[1], device=ids.device) < cut
        return compact(ids, real & first, self.pad), compact(ids, real & ~first, self.pad)


class Deshuffling(Denoising):
    """Read the tokens of a text in random order, write the text."""

    name = "deshuffling"

    def noise(self, ids: Tensor, real: Tensor, generator: torch.Generator | None) -> tuple[Padded, Padded]:
        """Permute; all orders are equally likely."""
        return (shuffle(ids, real, generator), real), (ids, real)


class BertStyle(Denoising):
    """Read a text with masks and random tokens, write all of it.

    Args:
        backbone: an encoder-decoder.
        probability: share of the tokens that are noise, above 0 and at most 1.
        random: share of those that become a random token and not the mask.
        sentinels: ids reserved at the end of the embeddings, whose first one is the mask of a tokenizer without any.

    Raises:
        UsageError: a share is none, the backbone does not fit, or there is no mask.
    """

    name = "bert_style"
    replacements: Tensor

    def __init__(self, backbone: Backbone, probability: float = 0.15, random: float = 0.1, sentinels: int = 0) -> None:
        super().__init__(backbone)
        if not (0 < probability <= 1 and 0 <= random <= 1):
            raise UsageError(
                f"probability={probability}, random={random}: expected shares from 0 to 1, the first not 0."
            )
        self.probability, self.random = probability, random
        mask = backbone.tokenizer.mask_token_id
        self.mask_id = int(sentinel_ids(backbone, sentinels)[0]) if mask is None else int(mask)
        self.register_buffer("replacements", self.ordinary(backbone), persistent=False)

    def noise(self, ids: Tensor, real: Tensor, generator: torch.Generator | None) -> tuple[Padded, Padded]:
        """Replace single tokens where they stand."""
        chosen = choose(real, self.probability, generator)
        action = torch.rand(ids.shape, generator=generator, device=ids.device)
        drawn = torch.randint(len(self.replacements), ids.shape, generator=generator, device=ids.device)
        noisy = torch.where(action < self.random, self.replacements[drawn], self.mask_id)
        return (torch.where(chosen, noisy, ids), real), (ids, real)


class MassStyle(BertStyle):
    """BERT's style without random tokens: masks alone. MASS itself, which hides one long span, is `MASS`.

    Args:
        backbone: an encoder-decoder.
        probability: share of the tokens that are masked, above 0 and at most 1.
        sentinels: ids reserved at the end of the embeddings, whose first one is the mask of a tokenizer without any.

    Raises:
        UsageError: `probability` is no share, the backbone does not fit, or there is no mask.
    """

    name = "mass_style"

    def __init__(self, backbone: Backbone, probability: float = 0.15, sentinels: int = 0) -> None:
        super().__init__(backbone, probability, 0.0, sentinels)


class ReplaceSpans(SentinelDenoising):
    """Single tokens are chosen; neighbours among them become one sentinel. Write sentinels and what they stand for."""

    name = "replace_spans"

    def noise(self, ids: Tensor, real: Tensor, generator: torch.Generator | None) -> tuple[Padded, Padded]:
        """Hide runs of chosen tokens behind sentinels."""
        return with_sentinels(ids, real, choose(real, self.probability, generator), self.sentinels, self.pad)


class DropTokens(Denoising):
    """Read a text without some of its tokens, write those.

    Args:
        backbone: an encoder-decoder.
        probability: share of the tokens to drop, above 0 and at most 1.

    Raises:
        UsageError: `probability` is no share, or the backbone does not fit.
    """

    name = "drop_tokens"

    def __init__(self, backbone: Backbone, probability: float = 0.15) -> None:
        super().__init__(backbone)
        if not 0 < probability <= 1:
            raise UsageError(f"probability={probability}: the share of tokens to drop must be above 0 and at most 1.")
        self.probability = probability

    def noise(self, ids: Tensor, real: Tensor, generator: torch.Generator | None) -> tuple[Padded, Padded]:
        """Drop single tokens."""
        chosen = choose(real, self.probability, generator)
        return compact(ids, real & ~chosen, self.pad), compact(ids, chosen, self.pad)

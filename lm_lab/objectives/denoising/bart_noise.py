"""BART's five kinds of noise (Lewis et al. 2020, https://arxiv.org/abs/1910.13461, section 2.2).

    text            A B C . D E .
    masking         A _ C . _ E .         single tokens
    deletion        A . D E .             single tokens: the model must find out where
    infilling       A _ . D _ E .         spans of Poisson(3) tokens, one mask each; one of no token puts a mask in
    permutation     D E . A B C .         sentences
    rotation        C . D E . A B         starts at any token

Pure functions of rows padded on the right, (b, t), with `real` (b, t) bool for their tokens. The budget of infilling
counts covered tokens: max(1, round(probability * L)), and the last span drawn is cut to what is left of it.
"""

import torch
from torch import Tensor

from lm_lab.objectives.denoising.sequence_noise import Padded, compact, pick
from lm_lab.objectives.masked.noise import choose


def mask_single(
    ids: Tensor, real: Tensor, mask_id: int, probability: float, generator: torch.Generator | None
) -> Padded:
    """Mask max(1, round(probability * L)) tokens of each row."""
    return torch.where(choose(real, probability, generator), mask_id, ids), real


def delete(ids: Tensor, real: Tensor, pad: int, probability: float, generator: torch.Generator | None) -> Padded:
    """Delete max(1, round(probability * L)) tokens of each row."""
    return compact(ids, real & ~choose(real, probability, generator), pad)


def infill(
    ids: Tensor,
    real: Tensor,
    mask_id: int,
    pad: int,
    probability: float,
    mean: float,
    generator: torch.Generator | None = None,
) -> Padded:
    """Put one mask for each span, whose places among the tokens that stay are all equally likely.

    A row of L tokens, n of them in k spans, becomes L - n + k items: the k that are spans are chosen among these.
    """
    length = real.sum(dim=1, keepdim=True)
    budget = (length * probability).round().long().clamp(min=1).minimum(length)
    lengths, count = _span_lengths(budget, mean, generator)
    items = length - budget + count
    place = torch.arange(max(1, int(items.max())), device=ids.device).expand(len(ids), -1)
    spans = pick(place < items, count, generator)
    width = torch.where(spans, lengths.gather(1, (spans.cumsum(dim=1) - 1).clamp(min=0)), 1)
    start = (width.cumsum(dim=1) - width).clamp(max=ids.shape[1] - 1)  # behind the items there is only padding
    filled = torch.where(spans, mask_id, ids.gather(1, start))
    return filled.masked_fill(place >= items, pad), place < items


def permute_sentences(ids: Tensor, real: Tensor, ends: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Put the sentences of each row in random order; `ends` (b, t) bool is True at the last token of each."""
    sentence = ends.cumsum(dim=1) - ends.long()
    keys = torch.rand(ids.shape, generator=generator, device=ids.device).gather(1, sentence)
    return ids.gather(1, keys.masked_fill(~real, 2.0).argsort(dim=1, stable=True))


def rotate(ids: Tensor, real: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Let each row begin with any of its tokens, all equally likely; what stood before it goes to the end."""
    length = real.sum(dim=1, keepdim=True)
    offset = (torch.rand(length.shape, generator=generator, device=ids.device) * length).long()
    place = torch.arange(ids.shape[1], device=ids.device).expand(ids.shape)
    return ids.gather(1, torch.where(real, (place + offset) % length.clamp(min=1), place))


def _span_lengths(budget: Tensor, mean: float, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Draw spans until the budget (b, 1) is covered: their lengths (b, s) in random order, and how many they are."""
    draws = 2 * int(budget.max()) + 20  # these cover less than the budget about once in e^20 rows
    rates = torch.full((len(budget), draws), mean, device=budget.device)
    lengths = torch.poisson(rates, generator=generator).long()
    left = budget - (lengths.cumsum(dim=1) - lengths)
    used = left > 0
    # the span that was cut is the last one drawn, so without a new order it would stand last in every text
    order = torch.rand(used.shape, generator=generator, device=budget.device).masked_fill(~used, 2.0).argsort(dim=1)
    return lengths.minimum(left).gather(1, order), used.sum(dim=1, keepdim=True)

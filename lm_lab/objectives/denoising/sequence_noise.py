"""What the noise of sequence-to-sequence objectives is made of: pure functions of rows padded on the right.

A row has L real tokens; `real` (b, t) says which. Results have rows of new lengths, padded on the right again.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from lm_lab.errors import UsageError

Padded = tuple[Tensor, Tensor]  # ids (b, t), and which of them are real (b, t)


def compact(ids: Tensor, keep: Tensor, pad: int) -> Padded:
    """Move the tokens to keep, (b, t) bool, to the left in their order and cut off what no row needs."""
    order = (~keep).byte().argsort(dim=1, stable=True)
    real = keep.gather(1, order)
    width = max(1, int(real.sum(dim=1).max()))
    return ids.gather(1, order).masked_fill(~real, pad)[:, :width], real[:, :width]


def pick(eligible: Tensor, count: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Choose `count` (b, 1) of the eligible positions (b, t) of each row, all sets equally likely: (b, t) bool."""
    keys = torch.rand(eligible.shape, generator=generator, device=eligible.device).masked_fill(~eligible, 2.0)
    return eligible & (keys.argsort(dim=1).argsort(dim=1) < count)


def shuffle(ids: Tensor, real: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Permute the real tokens of each row (b, t), all orders equally likely; padding stays on the right."""
    keys = torch.rand(ids.shape, generator=generator, device=ids.device).masked_fill(~real, 2.0)
    return ids.gather(1, keys.argsort(dim=1, stable=True))


def segment(total: Tensor, parts: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Cut `total` (b, 1) into `parts` (b, 1) lengths of 1 or more, all cuts equally likely: (b, max parts), then 0."""
    place = torch.arange(max(1, int(total.max())), device=total.device).expand(len(total), -1)
    begins = pick((place > 0) & (place < total), parts - 1, generator) | ((place == 0) & (total > 0))
    lengths = torch.zeros(len(total), max(1, int(parts.max())), dtype=torch.long, device=total.device)
    return lengths.scatter_add_(1, (begins.cumsum(dim=1) - 1).clamp(min=0), (place < total).long())


def random_spans(
    real: Tensor,
    probability: float,
    mean: float,
    roll: bool,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Choose spans as T5 does: their number is fixed by the length of the row, their borders are random.

    Of L tokens n = round(probability * L) are noise, at least 1 and, for L > 1, at most L - 1, in
    max(1, round(n / mean)) spans. Noise and the rest are cut at random into as many parts and take turns, the rest
    first, so spans never touch and a row always ends with one. Where a row is short enough for a single span, that span
    is always its end; rolling the row by a random offset makes all places equally likely.

    Args:
        real: (b, t) bool.
        probability: share of noise.
        mean: tokens in a span, 1 or more.
        roll: whether to roll; the span that crosses the end then goes on at the start, one more than without.
        generator: on the same device; None uses torch's own.

    Returns:
        (b, t) bool, True for noise. A row of one token is noise; one of none has none.
    """
    length = real.sum(dim=1, keepdim=True)
    noise = (length * probability).round().long().clamp(min=1).minimum((length - 1).clamp(min=1)).minimum(length)
    spans = (noise / mean).round().long().clamp(min=1).minimum((length - noise).clamp(min=1))
    lengths = torch.stack([segment(length - noise, spans, generator), segment(noise, spans, generator)], dim=2)
    ends = lengths.flatten(1).cumsum(dim=1)
    place = torch.arange(real.shape[1], device=real.device).expand(real.shape).contiguous()
    if roll:
        offset = torch.rand(length.shape, generator=generator, device=real.device) * length
        place = (place - offset.long()) % length.clamp(min=1)
    return real & (torch.searchsorted(ends, place, right=True) % 2 == 1)


def with_sentinels(ids: Tensor, real: Tensor, noise: Tensor, sentinels: Tensor, pad: int) -> tuple[Padded, Padded]:
    """Put the k-th sentinel for the k-th run of noise; the target is each sentinel and the tokens it stands for.

    Args:
        ids: (b, t) token ids.
        real: (b, t) bool.
        noise: (b, t) bool.
        sentinels: (s,) ids.
        pad: id of padding.

    Returns:
        Source and target.

    Raises:
        UsageError: a row has more runs than there are sentinels.
    """
    begins = noise & ~F.pad(noise, (1, 0))[:, :-1]
    runs = begins.cumsum(dim=1)
    if int(runs.max()) > len(sentinels):
        raise UsageError(
            f"a text of {int(real.sum(dim=1).max())} tokens needs {int(runs.max())} sentinels, but there are "
            f"{len(sentinels)}; give `sentinels` more (and the model a larger vocab_size), or shorten data.max_length."
        )
    marks = sentinels[(runs - 1).clamp(min=0)]
    source = compact(torch.where(begins, marks, ids), real & (begins | ~noise), pad)
    pairs, kept = torch.stack([marks, ids], dim=2), torch.stack([begins, noise], dim=2)
    return source, compact(pairs.flatten(1), kept.flatten(1), pad)

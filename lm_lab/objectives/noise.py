"""Functions that corrupt token ids. Pure: the same generator state gives the same corruption."""

import torch
from torch import Tensor

IGNORED = -100  # what `cross_entropy` leaves out


def mask_tokens(
    input_ids: Tensor,
    eligible: Tensor,
    replacements: Tensor,
    mask_id: int,
    *,
    probability: float = 0.15,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Hide tokens as BERT does (Devlin et al. 2019, section 3.1 and appendix A.1).

    In each row max(1, round(probability * L)) of its L eligible positions are chosen: independent draws would
    leave short rows without a target. Of those, 80% become the mask, 10% a random token, 10% stay.

    Args:
        input_ids: (b, t) token ids.
        eligible: (b, t) bool, False for special tokens and padding. A row without any gets no target.
        replacements: (v,) ids a random token is drawn from; leave special tokens out.
        mask_id: id of the mask token.
        probability: share of eligible positions to predict.
        generator: on the device of `input_ids`; None uses torch's own.

    Returns:
        The corrupted ids (b, t), and the targets (b, t): the original id where chosen, -100 elsewhere.
    """
    chosen = choose(eligible, probability, generator)
    targets = torch.where(chosen, input_ids, IGNORED)
    action = _uniform(input_ids, generator)
    drawn = torch.randint(len(replacements), input_ids.shape, generator=generator, device=input_ids.device)
    corrupted = torch.where(chosen & (action < 0.8), mask_id, input_ids)
    corrupted = torch.where(chosen & (action >= 0.9), replacements[drawn], corrupted)
    return corrupted, targets


def choose(eligible: Tensor, probability: float, generator: torch.Generator | None = None) -> Tensor:
    """Choose max(1, round(probability * L)) of the L eligible positions of each row, all equally likely.

    Args:
        eligible: (b, t) bool.
        probability: share to choose.
        generator: on the same device; None uses torch's own.

    Returns:
        (b, t) bool.
    """
    available = eligible.sum(dim=1, keepdim=True)  # (b, 1)
    count = (probability * available).round().clamp(min=1).minimum(available)
    order = _uniform(eligible, generator).masked_fill(~eligible, 2.0).argsort(dim=1)
    rank = torch.empty_like(order).scatter_(
        1, order, torch.arange(order.shape[1], device=order.device).expand_as(order)
    )
    return rank < count


def _uniform(like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.rand(like.shape, generator=generator, device=like.device)

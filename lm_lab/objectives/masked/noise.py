"""Functions that corrupt token ids. Pure: the same generator state gives the same corruption."""

import torch
from torch import Tensor

IGNORED = -100  # what `cross_entropy` leaves out


def hide(
    input_ids: Tensor,
    units: Tensor,
    replacements: Tensor,
    mask_id: int,
    *,
    shares: tuple[float, float],
    per_unit: bool,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Replace chosen tokens by the mask or by random tokens; the rest of them stay.

    Args:
        input_ids: (b, t) token ids.
        units: (b, t), -1 where nothing is chosen, elsewhere the number in its row of the unit that a token is of.
        replacements: (v,) ids a random token is drawn from; every token draws its own.
        mask_id: id of the mask token.
        shares: shares of the chosen that become the mask, and a random token.
        per_unit: True decides once for all tokens of a unit, as SpanBERT does; False for each token.
        generator: on the device of `input_ids`; None uses torch's own.

    Returns:
        The corrupted ids (b, t), and the targets (b, t): the original id where chosen, -100 elsewhere.
    """
    chosen = units >= 0
    targets = torch.where(chosen, input_ids, IGNORED)
    action = uniform(input_ids, generator)
    if per_unit:
        action = action.gather(1, units.clamp(min=0))
    drawn = torch.randint(len(replacements), input_ids.shape, generator=generator, device=input_ids.device)
    masked, random = shares
    corrupted = torch.where(chosen & (action < masked), mask_id, input_ids)
    # from above, so that 80% and 10% leave exactly the draws between for tokens that stay
    corrupted = torch.where(chosen & (action >= 1 - random), replacements[drawn], corrupted)
    return corrupted, targets


def choose(eligible: Tensor, probability: float, generator: torch.Generator | None = None) -> Tensor:
    """Choose max(1, round(probability * L)) of the L eligible positions of each row, all equally likely.

    Independent draws would leave short rows without a target.

    Args:
        eligible: (b, t) bool.
        probability: share to choose.
        generator: on the same device; None uses torch's own.

    Returns:
        (b, t) bool.
    """
    order = uniform(eligible, generator).masked_fill(~eligible, 2.0).argsort(dim=1)
    rank = torch.empty_like(order).scatter_(
        1, order, torch.arange(order.shape[1], device=order.device).expand_as(order)
    )
    return rank < budget(eligible, probability)


def budget(eligible: Tensor, probability: float) -> Tensor:
    """How many of the L eligible tokens of each row to predict: max(1, round(probability * L)), (b, 1).

    A row without any gets 0.
    """
    available = eligible.sum(dim=1, keepdim=True)
    return (probability * available).round().long().clamp(min=1).minimum(available)


def number(chosen: Tensor) -> Tensor:
    """Number the chosen positions of each row, each a unit of its own: (b, t) bool -> (b, t), -1 where not chosen."""
    return torch.where(chosen, chosen.cumsum(dim=1) - 1, -1)


def uniform(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Uniform draws from [0, 1) in the shape of a tensor, on its device."""
    return torch.rand(like.shape, generator=generator, device=like.device)

"""Learning-rate schedules: a warm-up, then linear to zero, cosine to a floor, an inverse square root, or constant.

A schedule is a callable of (optimiser, total steps); see `lm_lab.training.budget` for how many those are.
"""

import math
from collections.abc import Callable
from functools import partial

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lm_lab.errors import UsageError

SchedulerFactory = Callable[[Optimizer, int], LambdaLR]


def linear(step: int, total: int, warmup: int) -> float:
    """Factor of the learning rate at `step`: up over `warmup` steps, down to 0 at `total`."""
    return _rise(step, warmup) if step < warmup else max(0.0, (total - step) / max(1, total - warmup))


def cosine(step: int, total: int, warmup: int, floor: float) -> float:
    """Factor: up over `warmup` steps, half a cosine down to `floor` at `total`."""
    if step < warmup:
        return _rise(step, warmup)
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def inverse_sqrt(step: int, warmup: int) -> float:
    """Factor: up over `warmup` steps, then as one over the root of the number of steps.

    With n = step + 1, k = warmup + 1: min(n / k, sqrt(k / n)), the formula of Vaswani et al. 2017 over its peak.
    """
    return min((step + 1) / (warmup + 1), math.sqrt((warmup + 1) / (step + 1)))


def constant(step: int, warmup: int) -> float:
    """Factor: up over `warmup` steps, then 1."""
    return _rise(step, warmup) if step < warmup else 1.0


def _rise(step: int, warmup: int) -> float:
    return (step + 1) / (warmup + 1)  # the first step must not be lost to a rate of 0


def _warmup_steps(share: float, total: int) -> int:
    if not 0 <= share < 1:
        raise UsageError(f"warmup={share}: the share of all steps that warm up, from 0 to below 1.")
    return round(share * total)


class WarmupLinear(LambdaLR):
    """Warm up over a share of all steps, then linearly to zero (BERT).

    Args:
        optimizer: whose learning rates are scaled.
        total_steps: at which zero is reached.
        warmup: share of `total_steps`.
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, warmup: float = 0.1) -> None:
        steps = _warmup_steps(warmup, total_steps)
        super().__init__(optimizer, partial(linear, total=total_steps, warmup=steps))


class WarmupCosine(LambdaLR):
    """Warm up, then half a cosine down to `floor` times the learning rate (GPT-3: 0.1).

    Args:
        optimizer: whose learning rates are scaled.
        total_steps: at which the floor is reached.
        warmup: share of `total_steps`.
        floor: last factor.
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, warmup: float = 0.1, floor: float = 0.1) -> None:
        steps = _warmup_steps(warmup, total_steps)
        super().__init__(optimizer, partial(cosine, total=total_steps, warmup=steps, floor=floor))


class WarmupInverseSqrt(LambdaLR):
    """Warm up, then fall as one over the root of the steps (Vaswani et al. 2017); it has no end to reach.

    T5 (Raffel et al. 2020) holds the highest rate over its first 10,000 of 524,288 steps instead of rising to it.

    Args:
        optimizer: whose learning rates are scaled.
        total_steps: of which `warmup` is a share.
        warmup: share of `total_steps`.
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, warmup: float = 0.1) -> None:
        super().__init__(optimizer, partial(inverse_sqrt, warmup=_warmup_steps(warmup, total_steps)))


class WarmupConstant(LambdaLR):
    """Warm up, then stay.

    Args:
        optimizer: whose learning rates are scaled.
        total_steps: of which `warmup` is a share.
        warmup: share of `total_steps`; 0 is a constant rate.
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, warmup: float = 0.0) -> None:
        super().__init__(optimizer, partial(constant, warmup=_warmup_steps(warmup, total_steps)))

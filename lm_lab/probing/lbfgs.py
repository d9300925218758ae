"""L-BFGS over many smooth convex problems at once (Liu & Nocedal 1989): each has steps and a history of its own.

All problems are evaluated together, so that a path of penalties or a row of layers costs little more than one of them.
"""

from collections.abc import Callable

import torch
from torch import Tensor

MEMORY = 10
_SUFFICIENT = 1e-4  # of the descent that the slope promises (Armijo)
_HALVINGS = 25
Objective = Callable[[Tensor], tuple[Tensor, Tensor]]


def minimise(objective: Objective, start: Tensor, steps: int, tolerance: float) -> Tensor:
    """The minima (M, D).

    Args:
        objective: of points (M, D); gives values (M,) and gradients (M, D).
        start: (M, D).
        steps: at most.
        tolerance: a problem has converged where no entry of its gradient is larger.
    """
    x = start
    value, gradient = objective(x)
    history: list[tuple[Tensor, Tensor, Tensor]] = []
    for _ in range(steps):
        open_ = gradient.abs().amax(1) > tolerance
        if not bool(open_.any()):
            break
        direction = torch.where(open_[:, None], -_scaled(gradient, history), torch.zeros_like(gradient))
        slope = (gradient * direction).sum(1)
        direction = torch.where((slope > 0)[:, None], -gradient, direction)
        first = (1 / gradient.abs().sum(1).clamp(min=1e-12)).clamp(max=1.0) if not history else torch.ones_like(value)
        step, new_value, new_gradient = _search(objective, x, value, direction, slope, first)
        moved = step[:, None] * direction
        history = [*history[1 - MEMORY :], _pair(moved, new_gradient - gradient)]
        stuck = bool((new_value >= value).all())  # no more digits
        x, value, gradient = x + moved, new_value, new_gradient
        if stuck:
            break
    return x


def _search(
    objective: Objective, x: Tensor, value: Tensor, direction: Tensor, slope: Tensor, step: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Halve each problem's step until it descends enough; a step of 0 where it never does."""
    for _ in range(_HALVINGS):
        new_value, new_gradient = objective(x + step[:, None] * direction)
        good = new_value <= value + _SUFFICIENT * step * slope
        if bool(good.all()):
            return step, new_value, new_gradient
        step = torch.where(good, step, step / 2)
    step = torch.where(good, step, torch.zeros_like(step))
    return step, *objective(x + step[:, None] * direction)


def _pair(moved: Tensor, change: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What a step tells of the curvature; rho is 0 where it tells nothing."""
    curvature = (moved * change).sum(1)
    rho = torch.where(curvature > 1e-300, 1 / curvature.clamp(min=1e-300), torch.zeros_like(curvature))
    return moved, change, rho


def _scaled(gradient: Tensor, history: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """The approximate inverse Hessian times the gradient, by the two-loop recursion."""
    q, alphas = gradient, []
    for moved, change, rho in reversed(history):
        alpha = rho * (moved * q).sum(1)
        q = q - alpha[:, None] * change
        alphas.append(alpha)
    if history:
        moved, change, rho = history[-1]
        square = change.square().sum(1)
        ratio = torch.where(rho > 0, (moved * change).sum(1) / square.clamp(min=1e-300), torch.ones_like(rho))
        q = q * ratio[:, None]
    for (moved, change, rho), alpha in zip(history, reversed(alphas), strict=True):
        beta = rho * (change * q).sum(1)
        q = q + (alpha - beta)[:, None] * moved
    return q

"""L-BFGS over many smooth convex problems at once (Liu & Nocedal 1989): each has steps and a history of its own.

Problems are evaluated together, so that a path of penalties costs little more than one of them. Each takes the steps
that it would take alone, searches its own line, and is left out once it has converged.
"""

from collections.abc import Callable

import torch
from torch import Tensor

MEMORY = 10
_SUFFICIENT = 1e-4  # of the descent that the slope promises (Armijo)
_HALVINGS = 25
Objective = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Pair = tuple[Tensor, Tensor, Tensor]


def minimise(objective: Objective, start: Tensor, steps: int, tolerance: float) -> Tensor:
    """The minima (M, D).

    Args:
        objective: of points (m, D) and the numbers (m,) of their problems; gives values (m,) and gradients (m, D).
        start: (M, D).
        steps: at most.
        tolerance: a problem has converged where no entry of its gradient is larger.
    """
    found, problems = start.clone(), torch.arange(len(start), device=start.device)
    x, (value, gradient) = start, objective(start, problems)
    going, history = gradient.abs().amax(1) > tolerance, list[Pair]()
    for _ in range(steps):
        if not bool(going.all()):
            found[problems] = x
            problems, x, value, gradient = (own[going] for own in (problems, x, value, gradient))
            history = [(moved[going], change[going], rho[going]) for moved, change, rho in history]
        if not len(problems):
            return found
        direction = -_scaled(gradient, history)
        slope = (gradient * direction).sum(1)
        direction = torch.where((slope > 0)[:, None], -gradient, direction)
        first = (1 / gradient.abs().sum(1).clamp(min=1e-12)).clamp(max=1.0) if not history else torch.ones_like(value)
        step, new_value, new_gradient = _search(objective, problems, x, value, direction, slope, first)
        moved = step[:, None] * direction
        history = [*history[1 - MEMORY :], _pair(moved, new_gradient - gradient)]
        going = (new_value < value) & (new_gradient.abs().amax(1) > tolerance)  # the first fails for want of digits
        x, value, gradient = x + moved, new_value, new_gradient
    found[problems] = x
    return found


def _search(
    objective: Objective, problems: Tensor, x: Tensor, value: Tensor, direction: Tensor, slope: Tensor, step: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Halve each problem's step until it descends enough; a step of 0 where it never does."""
    new_value, new_gradient = objective(x + step[:, None] * direction, problems)
    for halving in range(_HALVINGS + 1):
        good = new_value <= value + _SUFFICIENT * step * slope
        if bool(good.all()):
            break
        bad = (~good).nonzero()[:, 0]
        step = torch.where(good, step, step / 2 if halving < _HALVINGS else torch.zeros_like(step))
        new_value[bad], new_gradient[bad] = objective((x + step[:, None] * direction)[bad], problems[bad])
    return step, new_value, new_gradient


def _pair(moved: Tensor, change: Tensor) -> Pair:
    """What a step tells of the curvature; rho is 0 where it tells nothing."""
    curvature = (moved * change).sum(1)
    rho = torch.where(curvature > 1e-300, 1 / curvature.clamp(min=1e-300), torch.zeros_like(curvature))
    return moved, change, rho


def _scaled(gradient: Tensor, history: list[Pair]) -> Tensor:
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

"""Muon for the matrices of the blocks, AdamW for all else (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon).

    B <- mu B + (1 - mu) g      U S V^T = mu B + (1 - mu) g
    p <- p - lr (0.2 sqrt(max(rows, columns)) U V^T + decay p)

U V^T is near what five steps of Newton and Schulz give.

Embeddings, output layers, norms and biases are AdamW's. The factor of Liu et al. 2025 (https://arxiv.org/abs/2502.16982)
gives an update the size that AdamW's has, so one learning rate serves both. Matrices of one shape go through the steps
of Newton and Schulz together: one after the other, as in `torch.optim.Muon`, small ones cost more than the model does.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from lm_lab.errors import UsageError
from lm_lab.training.optimizers import AdamW

STEPS, QUINTIC = 5, (3.4445, -4.7750, 2.0315)  # of Newton and Schulz: a x + b x^3 + c x^5 for every singular value x


class Muon(Optimizer):
    """Orthogonal updates of the blocks' matrices, AdamW's of the rest, under one learning rate.

    Args:
        params: groups of `parameter_groups`, which say what is a matrix of a block.
        lr: learning rate of both.
        momentum: mu.
        betas, eps: AdamW's.
        weight_decay: decoupled, of both.

    Raises:
        UsageError: no matrix of a block is trained.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        hidden, rest = _split(params)
        if not hidden:
            raise UsageError("Muon: no matrix of a block is trained; take AdamW (--model.optimizer=AdamW).")
        matrices = _Matrices(hidden, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self._parts: list[Optimizer] = [matrices, *([AdamW(rest, lr, betas, eps, weight_decay)] if rest else [])]
        super().__init__([group for part in self._parts for group in part.param_groups], {"lr": lr})
        self._share()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update; returns what `closure` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self._parts:
            part.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state, which both parts then see."""
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        """One state and one list of groups: what a scheduler or a checkpoint sets here is what the parts use."""
        place = 0
        for part in self._parts:
            count = len(part.param_groups)
            part.param_groups = self.param_groups[place : place + count]
            part.state = self.state
            place += count


class _Matrices(Optimizer):
    """The matrices' part."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update, of matrices of one shape (or its transpose) at a time."""
        del closure  # called by the whole
        for group in self.param_groups:
            stacks: defaultdict[tuple[Any, ...], list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    stacks[(min(p.shape), max(p.shape), p.device)].append(p)
            for stack in stacks.values():
                self._update(stack, **{name: group[name] for name in ("lr", "momentum", "weight_decay")})

    def _update(self, matrices: list[Tensor], lr: float, momentum: float, weight_decay: float) -> None:
        gradients = [p.grad for p in matrices if p.grad is not None]
        for p in matrices:
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        kept = [self.state[p]["momentum_buffer"] for p in matrices]
        torch._foreach_lerp_(kept, gradients, 1 - momentum)
        ahead = torch._foreach_lerp(gradients, kept, momentum)
        updates = orthogonal(torch.stack([_wide(update) for update in ahead]))
        torch._foreach_mul_(matrices, 1 - lr * weight_decay)
        for p, update in zip(matrices, updates.to(matrices[0].dtype), strict=True):
            _wide(p).sub_(update, alpha=lr * 0.2 * math.sqrt(max(p.shape)))


def orthogonal(matrices: Tensor) -> Tensor:
    """Near U V^T of each matrix U S V^T: singular values from 0.7 to 1.2 in place of its own.

    Args:
        matrices: [count, rows, columns], no fewer columns than rows.

    Returns:
        [count, rows, columns]; bfloat16 on a GPU, as published, else float32, which CPUs multiply faster.
    """
    x = matrices.to(torch.bfloat16 if matrices.is_cuda else torch.float32)
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    a, b, c = QUINTIC
    for _ in range(STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def _wide(matrix: Tensor) -> Tensor:
    return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T


def _split(groups: Iterable[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Groups of the blocks' matrices, and of all else, each with the settings it came with."""
    found: tuple[list[dict[str, Any]], list[dict[str, Any]]] = [], []
    for group in groups:
        settings = {name: value for name, value in group.items() if name not in ("params", "hidden")}
        for wanted, into in zip((True, False), found, strict=True):
            kept = [p for p, hidden in zip(group["params"], group["hidden"], strict=True) if hidden is wanted]
            into += [{"params": kept, **settings}] if kept else []
    return found

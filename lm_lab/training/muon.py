"""Muon for the matrices of the blocks, AdamW for all else (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon).

    B <- mu B + g      p <- p - lr (0.2 sqrt(max(rows, columns)) U V^T + decay p)      U S V^T = g + mu B

U V^T is near what five steps of Newton and Schulz give.

Embeddings, output layers, norms and biases are AdamW's. The factor of Liu et al. 2025 (https://arxiv.org/abs/2502.16982)
gives an update the size that AdamW's has, so one learning rate serves both. The matrices are `torch.optim.Muon`'s.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import Optimizer

from lm_lab.errors import UsageError
from lm_lab.training.optimizers import AdamW


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
        muon = torch.optim.Muon(hidden, lr, weight_decay, momentum, adjust_lr_fn="match_rms_adamw")
        self._parts: list[Optimizer] = [muon, *([AdamW(rest, lr, betas, eps, weight_decay)] if rest else [])]
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


def _split(groups: Iterable[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Groups of the blocks' matrices, and of all else, each with the settings it came with."""
    found: tuple[list[dict[str, Any]], list[dict[str, Any]]] = [], []
    for group in groups:
        settings = {name: value for name, value in group.items() if name not in ("params", "hidden")}
        for wanted, into in zip((True, False), found, strict=True):
            kept = [p for p, hidden in zip(group["params"], group["hidden"], strict=True) if hidden is wanted]
            into += [{"params": kept, **settings}] if kept else []
    return found

"""The loss of a large vocabulary without its scores in memory: rows are scored some at a time.

    loss = mean_i [log sum_v exp(w_v . h_i + b_v) - w_y_i . h_i - b_y_i]

The gradient of a row needs that row's scores alone, so it is taken right after its loss, and no row is scored twice:
what is kept for the backward pass is as large as the states and the table, whatever the number of rows (Hsu et al.
2024, Liger Kernel, https://arxiv.org/abs/2410.10989). Products run in the precision of the region, losses in fp32.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_SCORES = {"cpu": 2**21}  # scores that are held at once: what stays in a processor's cache, or fills a GPU
_MORE = 2**26


def linear_cross_entropy(states: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross entropy and accuracy of the scores W h + b of tokens (n,); 0 where there are none.

    Args:
        states: h (n, e).
        weight: W (v, e).
        bias: b (v,), or None.
        targets: ids (n,).
    """
    if not len(targets):
        nothing = F.linear(states, weight, bias).float().sum()
        return nothing, nothing.detach()
    loss, right = _Chunked.apply(states, weight, bias, targets)
    return loss, right


class _Chunked(torch.autograd.Function):
    """Forward takes the gradients along; backward scales them."""

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The mean loss and the accuracy, scalars."""
        kind = states.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else states.dtype
        h, w = states.to(dtype), weight.to(dtype)
        b = None if bias is None else bias.to(dtype)
        needed = ctx.needs_input_grad
        grads = [
            torch.empty_like(h) if needed[0] else None,
            torch.zeros_like(weight, dtype=torch.float32) if needed[1] else None,
            torch.zeros_like(bias, dtype=torch.float32) if bias is not None and needed[2] else None,
        ]
        loss = states.new_zeros((), dtype=torch.float32)
        right = torch.zeros_like(loss)
        rows = max(1, _SCORES.get(kind, _MORE) // len(weight))
        with torch.autocast(kind, enabled=False):
            for at in range(0, len(targets), rows):
                part = slice(at, at + rows)
                scores = F.linear(h[part], w, b).float()
                loss += F.cross_entropy(scores, targets[part], reduction="sum")
                right += (scores.argmax(dim=-1) == targets[part]).sum()
                if any(needed):
                    _take(scores, targets[part], h[part], w, grads, part)
        ctx.save_for_backward(*grads)
        ctx.count, ctx.dtypes = len(targets), (states.dtype, weight.dtype, None if bias is None else bias.dtype)
        ctx.mark_non_differentiable(right)
        return loss / len(targets), right / len(targets)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, loss: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of states, weight and bias."""
        scale = loss / ctx.count
        pairs = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        return *(None if grad is None else (grad * scale).to(dtype) for grad, dtype in pairs), None


def _take(scores: Tensor, targets: Tensor, h: Tensor, w: Tensor, grads: list[Tensor | None], part: slice) -> None:
    """Add the gradients of some rows' summed losses: those of the mean would underflow in fp16."""
    wrong = scores.softmax(dim=-1)
    wrong[torch.arange(len(targets), device=targets.device), targets] -= 1
    wrong = wrong.to(h.dtype)
    of_states, of_weight, of_bias = grads
    if of_states is not None:
        torch.mm(wrong, w, out=of_states[part])
    if of_weight is not None:
        of_weight += wrong.T @ h
    if of_bias is not None:
        of_bias += wrong.sum(dim=0, dtype=torch.float32)

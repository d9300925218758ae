"""A convolution of pictures and the maximum of each field, in one: what a CPU computes some five times faster.

    s     windows W^T                   (m, k, c), m fields of k windows of w pixels, c filters
    y     max over k of s               (m, c)
    dW    sum over m of dy windows*     (c, w), windows* those that won

Few fields at a time, their products s stay in the processor's cache. Of s nothing is kept but which window won, since
it alone has a gradient.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_AT_ONCE = 64  # fields: 1.2 MB of products with 36 windows and 128 filters


def maxima(pictures: Tensor, filters: Tensor, fields: int) -> Tensor:
    """Pictures (n, s, s) and filters (c, 1, k, k) -> (n, c, f, f), f fields a side."""
    found = _Maxima.apply(_windows(pictures, filters.shape[-1], fields), filters.flatten(1))
    return found.view(len(pictures), fields, fields, len(filters)).permute(0, 3, 1, 2)


def _windows(pictures: Tensor, side: int, fields: int) -> Tensor:
    """(n, s, s) -> (n f f, windows of a field, pixels of a window)."""
    found = pictures.unfold(1, side, 1).unfold(2, side, 1)
    within = found.shape[1] // fields
    split = found.reshape(len(pictures), fields, within, fields, within, side**2).transpose(2, 3)
    return split.reshape(len(pictures) * fields**2, within**2, side**2)


class _Maxima(torch.autograd.Function):
    """Windows (m, k, w) and filters (c, w) -> (m, c). The windows, of pictures, have no gradient."""

    @staticmethod
    def forward(ctx: Any, windows: Tensor, filters: Tensor) -> Tensor:
        found = [_largest(some @ filters.T) for some in windows.split(_AT_ONCE)]
        values, places = (torch.cat(each) for each in zip(*found, strict=True))
        ctx.save_for_backward(windows, places)
        return values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        windows, places = ctx.saved_tensors
        number, each, _ = windows.shape
        rows = places + torch.arange(0, number * each, each, device=places.device).unsqueeze(1)  # (m, c)
        weights = gradients[0].to(windows.dtype).T
        return None, F.embedding_bag(rows.T, windows.flatten(0, 1), mode="sum", per_sample_weights=weights)


def _largest(products: Tensor) -> tuple[Tensor, Tensor]:
    """(m, k, c) -> (m, c), and its places among k. Pooling a square whose channel is last is the fastest maximum."""
    side = round(products.shape[1] ** 0.5)
    values, places = F.max_pool2d(products.unflatten(1, (side, side)).permute(0, 3, 1, 2), side, return_indices=True)
    return values.flatten(1), places.flatten(1)

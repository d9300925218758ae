"""A learned mix of layers (Peters et al. 2018, ELMo, https://arxiv.org/abs/1802.05365).

gamma * sum_j softmax(w)_j h_j        w = 0 and gamma = 1 at the start
"""

import torch
from torch import Tensor, nn


class ScalarMix(nn.Module):
    """One weight a layer and one scale.

    Args:
        layers: how many hidden states are mixed.
        norm: normalise each state first, with one mean and one variance over a text's tokens and features, no affine.
            ELMo's code took them over the batch; a text's vector then depends on its neighbours, so we do not.
    """

    def __init__(self, layers: int, norm: bool = False) -> None:
        super().__init__()
        self.norm = norm
        self.weights = nn.Parameter(torch.zeros(layers), requires_grad=layers > 1)  # a single state has it all
        self.gamma = nn.Parameter(torch.ones(()))

    def prepare(self, state: Tensor, mask: Tensor) -> Tensor:
        """Normalise a hidden state over its real tokens if asked; state (b, t, d), mask (b, t)."""
        if not self.norm:
            return state
        real = mask.unsqueeze(-1).to(state.dtype)
        count = real.sum((1, 2), keepdim=True) * state.shape[-1]
        mean = (state * real).sum((1, 2), keepdim=True) / count
        variance = (((state - mean) * real) ** 2).sum((1, 2), keepdim=True) / count
        return (state - mean) / (variance + 1e-12).sqrt()

    def forward(self, states: Tensor) -> Tensor:
        """(b, ..., layers, d) -> (b, ..., d)."""
        return self.gamma * torch.einsum("j,...jd->...d", self.weights.softmax(0), states)

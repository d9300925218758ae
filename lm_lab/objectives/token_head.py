"""Output layers over the table of input embeddings E (v, e), which is given at each use: tied, yet no parameter here.

    TokenHead     BERT's: z = LayerNorm(gelu(W h + c)), scores z E^T + bias
    TiedOutput    XLNet's: scores h E^T + bias

Scores are in fp32.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TokenHead(nn.Module):
    """Scores of every token from hidden states; the table of embeddings is given at each use, so it is no parameter.

    Args:
        hidden_size: width d of the hidden states.
        width: width e of the embeddings.
        size: number v of tokens.
    """

    def __init__(self, hidden_size: int, width: int, size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.bias = nn.Parameter(torch.zeros(size))
        nn.init.normal_(self.dense.weight, std=0.02)
        nn.init.zeros_(self.dense.bias)

    def forward(self, hidden: Tensor, embeddings: Tensor) -> Tensor:
        """Scores (n, v) in fp32 from hidden states (n, d) and input embeddings (v, e)."""
        return F.linear(*self.factors(hidden, embeddings)).float()

    def factors(self, hidden: Tensor, embeddings: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What scores are the product of: z (n, e), the table and the bias."""
        return self.norm(F.gelu(self.dense(hidden))), embeddings, self.bias


class TiedOutput(nn.Module):
    """Scores of every token from hidden states as wide as the embeddings, which are given at each use.

    Args:
        size: number v of tokens.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, hidden: Tensor, embeddings: Tensor) -> Tensor:
        """Scores (..., v) in fp32 from hidden states (..., d) and input embeddings (v, d)."""
        return F.linear(hidden, embeddings, self.bias).float()

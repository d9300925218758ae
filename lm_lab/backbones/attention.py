"""Attention masks that say for each query which keys it sees, in the form that the attention of a model wants."""

import torch
from torch import Tensor

from lm_lab.backbones.base import Backbone
from lm_lab.backbones.transformers_backbone import require_transformers

_FORBIDDEN = torch.finfo(torch.float32).min


def attention_mask(backbone: Backbone, allowed: Tensor) -> Tensor:
    """(b, q, k) bool to (b, 1, q, k): eager attention adds it to the scores, all others take what it says."""
    allowed = allowed.unsqueeze(1)
    if require_transformers(backbone, "a mask of queries and keys").model.config._attn_implementation != "eager":
        return allowed
    return torch.zeros(allowed.shape, device=allowed.device).masked_fill(~allowed, _FORBIDDEN)

"""Teacher forcing: an encoder-decoder reads a source, and its decoder the target, shifted right by one.

encoder: s_1 .. s_n            decoder: start t_1 .. t_m-1  ->  the states that predict t_1 .. t_m
"""

from collections.abc import Mapping

from torch import Tensor

from lm_lab.backbones.base import Backbone
from lm_lab.backbones.transformers_backbone import require_transformers


def shift_right(ids: Tensor, start: int) -> Tensor:
    """(b, u) -> (b, u): each token one place later, behind the start token."""
    shifted = ids.roll(1, dims=1)
    shifted[:, 0] = start
    return shifted


def teacher_forced(backbone: Backbone, source: Mapping[str, Tensor], decoder: Mapping[str, Tensor]) -> Tensor:
    """The states (b, u, d) of what the decoder reads.

    Args:
        backbone: an encoder-decoder.
        source: `input_ids` and `attention_mask` (b, t).
        decoder: `input_ids` (b, u), shifted already; `attention_mask` (b, u) unless padding is on the right, where no
            real token of a causal decoder sees it.
    """
    inputs = {f"decoder_{name}": value for name, value in decoder.items()}
    model = require_transformers(backbone, "teacher forcing").model
    return model(**source, **inputs, use_cache=False).last_hidden_state

"""Prefix tuning and P-tuning v2: learned keys and values before those of the text, in every attention layer.

    attention(q, [P_k; k], [P_v; v])        P_k, P_v: (length, d_kv) for each attention module

P-tuning v2 (Liu et al. 2022, https://arxiv.org/abs/2110.07602) trains P_k and P_v themselves. Prefix tuning (Li &
Liang 2021, https://arxiv.org/abs/2101.00190) trains them through an MLP that all layers share the input of,

    [P_k; P_v] of layer l = V_l tanh(U e + u) + v_l        e: (length, d), U: (hidden, d), V_l: (2 d_kv, hidden)

and drops it after training (`finish`), which leaves P-tuning v2's form: 2 length d_kv numbers an attention module.
Positions of the text do not move, unlike in PEFT. An encoder-decoder has a prefix in both self-attentions and in the
attention to the encoder.
"""

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from lm_lab.strategies.base import Delta

NAME = "lm_lab_prefix"
PLAIN = ("cpu", "meta")  # devices where the formula is used as it stands: there its backward pass is the faster


class Prefix(Delta):
    """Keys and values of one attention module."""

    def key_value(self) -> Tensor:
        """(2, length, d_kv) for all texts alike, or (2, b, length, d_kv)."""
        raise NotImplementedError

    def widened(self, mask: Tensor, length: int) -> Tensor:
        """A mask (b or 1, 1, t, s) with what each text sees of the prefix, all of it, before: (b or 1, 1, t, k + s)."""
        return nn.functional.pad(mask, (length, 0), value=True)


class KeyValuePrefix(Prefix):
    """Keys and values themselves (P-tuning v2)."""

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.vectors = nn.Parameter(vectors)

    def key_value(self) -> Tensor:
        """(2, length, d_kv)."""
        return self.vectors


class Trunk(Delta):
    """What the layers' prefixes share: tanh(U e + u)."""

    def __init__(self, length: int, width: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(length, width))
        self.inner = nn.Linear(width, hidden)

    def forward(self) -> Tensor:
        """(length, hidden)."""
        return self.inner(self.embedding).tanh()


class ProjectedPrefix(Prefix):
    """Keys and values from the trunk (prefix tuning)."""

    def __init__(self, trunk: Trunk, hidden: int, width: int) -> None:
        super().__init__()
        self.trunk = (trunk,)  # in a tuple: the trunk is a child of the model, once
        self.out = nn.Linear(hidden, 2 * width)

    def key_value(self) -> Tensor:
        """(2, length, d_kv)."""
        return torch.stack(self.out(self.trunk[0]()).chunk(2, dim=-1))


def prefix_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    position_bias: Tensor | None = None,
    **options: object,
) -> tuple[Tensor, None]:
    """Attention over the prefix and the text; query, key, value (b, h, t, d_h), mask (b, 1, t, s) -> (b, t, h, d_h)."""
    if attention_mask is None:
        attention_mask = _full_mask(module, query, key)
    prefix = module._modules.get("prefix")
    if isinstance(prefix, Prefix) and prefix.enabled:
        learned = prefix.key_value().to(key.dtype)
        length = learned.shape[-2]
        heads = learned.view(2, -1, length, key.shape[1], key.shape[3]).transpose(2, 3)  # (2, 1 or b, h, length, d_h)
        key, value = (
            torch.cat([own.expand(len(text), -1, -1, -1), text], dim=2)
            for own, text in zip(heads, (key, value), strict=True)
        )
        attention_mask = prefix.widened(attention_mask, length)
        position_bias = None if position_bias is None else nn.functional.pad(position_bias, (length, 0))
    if query.device.type not in PLAIN:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, position_bias=position_bias, **options
        )
    return _plain_attention(module, query, key, value, attention_mask, scaling, dropout, position_bias), None


def _plain_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor,
    scaling: float | None, dropout: float, bias: Tensor | None,
) -> Tensor:  # fmt: skip
    """The formula."""
    key, value = (repeat_kv(states, query.shape[1] // states.shape[1]) for states in (key, value))
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    scores = scores if bias is None else scores + bias
    weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1)
    weights = nn.functional.dropout(weights, dropout, module.training)
    return (weights @ value).transpose(1, 2).contiguous()


def _full_mask(module: nn.Module, query: Tensor, key: Tensor) -> Tensor:
    ones = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device)
    return (ones.tril() if getattr(module, "is_causal", False) else ones)[None, None]


def whole_mask(*args: object, **options: object) -> Tensor:
    """`sdpa`'s mask, there in every case: one that is left out for speed could not be widened by the prefix."""
    return sdpa_mask(*args, **(options | {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}))


AttentionInterface.register(NAME, prefix_attention)
AttentionMaskInterface.register(NAME, whole_mask)

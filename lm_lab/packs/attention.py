"""Attention that drops weights, with random numbers of each run.

Attention of `transformers` is a function that is chosen by name; dropout is one of its arguments, so no module stands
where a run's own numbers could be put.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from lm_lab.backbones import Backbone, TransformersBackbone
from lm_lab.packs.errors import ApartError
from lm_lab.packs.over_runs import Rows, filled
from lm_lab.strategies.prefix import whole_mask

NAME = "lm_lab_pack"
_SETTINGS = ("attention_dropout", "dropout_prob", "attn_dropout", "dropout")  # of modules: a number, or a dropout
_read: ContextVar[Rows | None] = ContextVar("the pack that is read", default=None)


@contextmanager
def drawn_apart(pack: Rows) -> Iterator[None]:
    """Let attention in this context draw from the streams of this pack."""
    token = _read.set(pack)
    try:
        yield
    finally:
        _read.reset(token)


def attention_of_runs(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    position_bias: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """As `sdpa`, each run's rows with its own random numbers; query (k b, h, t, d_h) -> (k b, t, h, d_h)."""
    pack = _read.get() if dropout else None
    if pack is None:
        whole = {"dropout": 0.0, "position_bias": position_bias}
        return sdpa_attention_forward(module, query, key, value, attention_mask, **whole, **options)
    found = []
    states = (_apart(tensor, pack) for tensor in (query, key, value))
    parts = (*states, *(_squares(tensor, pack) for tensor in (attention_mask, position_bias)))
    for stream, (q, k, v, mask, bias) in zip(pack.streams, zip(*parts, strict=True), strict=True):
        with stream.drawn():
            own = {"dropout": dropout, "position_bias": bias}
            out = sdpa_attention_forward(module, q, k, v, mask, **own, **options)[0]
        found.append(filled(out, pack.rows, pack.length))
    return torch.cat(found), None


def _apart(states: Tensor, pack: Rows) -> list[Tensor]:
    """Each run's own rows and tokens: (k b, h, t, d_h) -> k of (b, h, t, d_h)."""
    rows = states.chunk(len(pack.shapes))
    return [own[:b, :, :t] for own, (b, t) in zip(rows, pack.shapes, strict=True)]


def _squares(values: Tensor | None, pack: Rows) -> Sequence[Tensor | None]:
    """The same of what is there for each pair of tokens, (k b, ., t, t), or (1, ., t, t) for all rows alike."""
    if values is None:
        return [None] * len(pack.shapes)
    rows = [values] * len(pack.shapes) if len(values) == 1 else values.chunk(len(pack.shapes))
    return [own[:b, :, :t, :t] for own, (b, t) in zip(rows, pack.shapes, strict=True)]


def prepare(shared: Backbone) -> None:
    """Let attention that drops weights in training ask for the runs' own numbers.

    Raises:
        ApartError: it drops weights in a way that cannot be told apart.
    """
    if not isinstance(shared, TransformersBackbone) or not any(map(_drops, shared.modules())):
        return
    known = shared.model.config._attn_implementation in ("eager", "sdpa")  # the same formula
    if not (known and shared.model._can_set_attn_implementation()):
        raise ApartError(f"attention of {shared.kind} draws random numbers of its own; set its dropout to 0.")
    shared.model.set_attn_implementation(NAME)


def _drops(module: nn.Module) -> bool:
    """True if it may drop some of its attention, and all of it trains, so that it is in train mode."""
    shares = [getattr(getattr(module, name, 0.0), "p", getattr(module, name, 0.0)) for name in _SETTINGS]
    own = list(module.parameters()) if any(isinstance(share, float) and share > 0 for share in shares) else []
    return bool(own) and all(p.requires_grad for p in own)


AttentionInterface.register(NAME, attention_of_runs)
AttentionMaskInterface.register(NAME, whole_mask)  # not every decoder says that it is one

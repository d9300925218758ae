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
from transformers.masking_utils import sdpa_mask

from lm_lab.backbones import Backbone, TransformersBackbone
from lm_lab.packs.errors import ApartError
from lm_lab.packs.streams import Stream

NAME = "lm_lab_pack"
_SETTINGS = ("attention_dropout", "dropout_prob", "attn_dropout")
_streams: ContextVar[Sequence[Stream]] = ContextVar("streams of the runs that are read", default=())


@contextmanager
def drawn_apart(streams: Sequence[Stream]) -> Iterator[None]:
    """Let attention in this context draw from these."""
    token = _streams.set(streams)
    try:
        yield
    finally:
        _streams.reset(token)


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
    streams = _streams.get() if dropout else ()
    if not streams:
        whole = {"dropout": 0.0, "position_bias": position_bias}
        return sdpa_attention_forward(module, query, key, value, attention_mask, **whole, **options)
    found = []
    parts = (_apart(tensor, len(streams)) for tensor in (query, key, value, attention_mask, position_bias))
    for stream, (q, k, v, mask, bias) in zip(streams, zip(*parts, strict=True), strict=True):
        with stream.drawn():
            own = {"dropout": dropout, "position_bias": bias}
            found.append(sdpa_attention_forward(module, q, k, v, mask, **own, **options)[0])
    return torch.cat(found), None


def _apart(tensor: Tensor | None, runs: int) -> Sequence[Tensor | None]:
    """The rows of each run; what is the same for all rows goes to each."""
    return [tensor] * runs if tensor is None or len(tensor) == 1 else tensor.chunk(runs)


def prepare(shared: Backbone) -> None:
    """Let attention that drops weights in training ask for the runs' own numbers.

    Raises:
        ApartError: it drops weights in a way that cannot be told apart.
    """
    dropping = [module for module in shared.modules() if _drops(module)]
    if not dropping:
        return
    if not (isinstance(shared, TransformersBackbone) and shared.model.config._attn_implementation == "sdpa"):
        raise ApartError(f"attention of {shared.kind} draws random numbers of its own; set its dropout to 0.")
    shared.model.set_attn_implementation(NAME)


def _drops(module: nn.Module) -> bool:
    """True if it has a share of attention to drop, and all of it trains, so that it is in train mode."""
    share = any(isinstance(value := getattr(module, name, 0.0), float) and value > 0 for name in _SETTINGS)
    own = list(module.parameters()) if share else []
    return bool(own) and all(p.requires_grad for p in own)


AttentionInterface.register(NAME, attention_of_runs)
AttentionMaskInterface.register(NAME, sdpa_mask)

"""The states of a model of `transformers` that gives those behind its blocks alone."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


def states(model: nn.Module, block: nn.Module, inputs: Mapping[str, Any]) -> tuple[Tensor, ...]:
    """L + 1 tensors (b, t, d): what enters the first `block` is the embeddings'."""
    entered: list[Tensor] = []
    hook = block.register_forward_pre_hook(lambda _, args: entered.append(args[0]))
    try:
        output = model(**inputs, output_hidden_states=True)
    finally:
        hook.remove()
    length = output.last_hidden_state.shape[1]
    return (entered[0][:, -length:], *output.hidden_states[:-2], output.last_hidden_state)

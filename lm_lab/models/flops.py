"""What is computed, counted from the shapes of matrix products: an adaptation's inference, without running it."""

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count
from transformers import PreTrainedModel

from lm_lab.backbones import Backbone


def inference_flops(backbone: Backbone, length: int) -> int:
    """Floating point operations of one text of `length` tokens, a multiply and an add counted as two.

    `backbone` stands on the meta device: it is built in the context of `torch.device("meta")`, with pretrained=False.
    Where values decide what is computed (masks, hashes), it stands and is run on a CPU.
    """
    device = backbone.device.type
    backbone.to(device)  # XLNet makes some of its parameters elsewhere
    for module in backbone.modules():
        # without a mask, transformers would look for padding among ids that have no values
        if isinstance(module, PreTrainedModel):
            module.warn_if_padding_and_no_attention_mask = _say_nothing
    counter = FlopCounterMode(display=False)
    with torch.device(device), torch.no_grad(), counter:
        backbone.eval().last(input_ids=torch.zeros(1, length, dtype=torch.long, device=device))
    return counter.get_total_flops()


def counter() -> FlopCounterMode:
    """torch's counter, which sees forward and backward passes within it, and a CPU's fused attention too."""
    return FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION)


def _attention(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(
    gradient: torch.Size, query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any
) -> int:
    return sdpa_backward_flop_count(gradient, query, key, value)


_CPU_ATTENTION = {  # which torch 2.13 leaves out
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


def _say_nothing(*_: object) -> None:
    """Stand in for a warning."""

"""What an adaptation costs at inference, counted from the shapes of its matrix products: nothing is computed."""

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from lm_lab.backbones import Backbone


def inference_flops(backbone: Backbone, length: int) -> int:
    """Floating point operations of one text of `length` tokens, a multiply and an add counted as two.

    `backbone` stands on the meta device: `with torch.device("meta"): Backbone(source, pretrained=False)`.
    """
    backbone.to("meta")  # XLNet makes some of its parameters elsewhere
    for module in backbone.modules():
        # without a mask, transformers would look for padding among ids that have no values
        if isinstance(module, PreTrainedModel):
            module.warn_if_padding_and_no_attention_mask = _say_nothing
    counter = FlopCounterMode(display=False)
    with torch.device("meta"), torch.no_grad(), counter:
        backbone.eval().last(input_ids=torch.zeros(1, length, dtype=torch.long, device="meta"))
    return counter.get_total_flops()


def _say_nothing(*_: object) -> None:
    """Stand in for a warning."""

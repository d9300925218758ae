"""What an adaptation costs at inference, counted from the shapes of its matrix products: nothing is computed."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from lm_lab.backbones import Backbone


def inference_flops(backbone: Backbone, length: int) -> int:
    """Floating point operations of one text of `length` tokens, a multiply and an add counted as two.

    `backbone` stands on the meta device: `with torch.device("meta"): Backbone(source, pretrained=False)`.
    """
    ids = torch.zeros(1, length, dtype=torch.long, device="meta")
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        backbone.eval().last(input_ids=ids)
    return counter.get_total_flops()

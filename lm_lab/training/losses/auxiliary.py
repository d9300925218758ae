"""GPT's auxiliary loss: a decoder that is fine-tuned goes on predicting each next token (Radford et al. 2018).

L3 = L2 + weight * L1      L2: the task's loss, L1: mean cross-entropy of each next token of the same sequences
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.backbones.language import LanguageOutput, next_token_loss
from lm_lab.errors import UsageError
from lm_lab.tokens import Tokens


class AuxiliaryLM(nn.Module):
    """The language model's loss of the sequences that a task reads.

    Args:
        backbone: a decoder of which something trains.
        weight: what its loss is multiplied by; the paper's is 0.5.

    Raises:
        UsageError: a weight below 0, a backbone that is no decoder, or one of which nothing trains.
    """

    def __init__(self, backbone: Backbone, weight: float) -> None:
        super().__init__()
        if weight < 0 or not backbone.causal:
            raise UsageError(
                f"lm_weight={weight:g} on {backbone.kind}: expected 0, or a weight above 0 and a decoder "
                "such as gpt2 or llama."
            )
        if not any(parameter.requires_grad for parameter in backbone.parameters()):
            raise UsageError(
                f"lm_weight={weight:g}: this strategy trains nothing of the backbone, so the language model's loss "
                "would train nothing; leave lm_weight at 0."
            )
        self.output, self.weight = LanguageOutput(backbone), weight

    def forward(self, read: Iterable[tuple[Tensor, Tokens]]) -> Tensor:
        """Mean loss over sequences, each given as its final hidden states (b, t, d) and its tokens."""
        losses = [next_token_loss(self.output, final, t["input_ids"], t["attention_mask"]) for final, t in read]
        return torch.stack(losses).mean()

"""Causal language modelling: predict each token from those before it (Radford et al. 2018, GPT).

    h = backbone(x)                                  (b, t, d), position t has seen x_1 .. x_t
    loss = mean over t of cross_entropy(W h_t, x_{t+1})

over positions whose next token is no padding. W is the table of embeddings where the configuration ties the two. Where
it does not (Llama), W is the objective's own and trains with it: `LanguageOutput` alone would leave it as it was.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.backbones.language import LanguageOutput, next_tokens
from lm_lab.errors import UsageError
from lm_lab.objectives.base import Loss, Objective


class CausalLM(Objective):
    """The next token of a decoder. Segments are left out: GPT-2 would add them as embeddings of words.

    Args:
        backbone: a decoder.

    Raises:
        UsageError: the backbone is no decoder.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        if not backbone.causal:
            raise UsageError(
                f"{backbone.kind} sees both sides of a token, so it would copy the next one; "
                "CausalLM needs a decoder (gpt2, llama)."
            )
        self.output = trained_output(backbone)

    def forward(self, backbone: Backbone, batch: Mapping[str, Tensor]) -> Loss:
        """Return the mean cross entropy and the accuracy of each real token given those before it."""
        ids, mask = batch["input_ids"], batch["attention_mask"]
        states, targets = next_tokens(backbone.last(input_ids=ids, attention_mask=mask), ids, mask)
        return Loss.of_states("causal_lm", self.output.factors(states), targets)


def trained_output(backbone: Backbone) -> LanguageOutput:
    """Return the output layer of a language model; a weight of its own becomes a parameter.

    Raises:
        UsageError: the backbone is an encoder, or its weights lack the output layer that they need.
    """
    output = LanguageOutput(backbone)
    if output.weight is not None:
        weight = output.weight
        del output.weight  # it was a buffer
        output.weight = nn.Parameter(weight)
    return output

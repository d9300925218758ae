"""From final hidden states to the scores of every token: the output layer that a language model was pretrained with.

    logits = W (scale * h) + b        h (d,), W (V, d), b (V,)

W is the table of token embeddings where the model ties the two (GPT-2, BART, T5), else the checkpoint's `lm_head`;
scale is d^-1/2 for a T5 that ties them (Raffel et al. 2020, https://arxiv.org/abs/1910.10683), else 1; b is BART's
`final_logits_bias`, else 0. A tied table is the backbone's own: it trains where the backbone's embeddings do. An output
layer of its own stays as it was pretrained.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from lm_lab.backbones.base import Backbone
from lm_lab.errors import UsageError


class LanguageOutput(nn.Module):
    """The output layer of a decoder or an encoder-decoder; it has no parameters of its own.

    Raises:
        UsageError: the backbone is an encoder, its configuration unties an output layer that its weights lack, or it
            has no table of embeddings as wide as its states.
    """

    weight: Tensor | None
    bias: Tensor | None

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        if not (backbone.causal or backbone.encoder_decoder):
            raise UsageError(
                f"{backbone.kind} is an encoder: it predicts no next token; give a decoder (gpt2, llama) or an "
                "encoder-decoder (t5, bart)."
            )
        found = backbone.language_output()
        if found.weight is None and backbone.embedding_size != backbone.hidden_size:
            raise UsageError(
                f"{backbone.kind} has states {backbone.hidden_size} wide and embeddings {backbone.embedding_size} "
                "wide: its output layer cannot be the table of embeddings."
            )
        # in a tuple: the table stays a child of the backbone alone
        self.embeddings: tuple[nn.Module, ...] = () if found.weight is not None else (backbone.embeddings,)
        self.scale = found.scale
        self.register_buffer("weight", found.weight, persistent=False)
        self.register_buffer("bias", found.bias, persistent=False)

    def forward(self, states: Tensor) -> Tensor:
        """Final hidden states (..., d) -> scores of every token (..., V)."""
        return F.linear(*self.factors(states))

    def factors(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """What scores are the product of: scaled states (..., d), the table (V, d) and the bias."""
        weight = self.embeddings[0].get_parameter("weight") if self.weight is None else self.weight
        return states * self.scale, weight, self.bias


def next_token_loss(output: Callable[[Tensor], Tensor], states: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """Mean cross-entropy of each real token given those before it; states (b, t, d), ids and mask (b, t).

    Args:
        output: from states (n, d) to scores (n, V), a `LanguageOutput` or the like.
        states: final hidden states.
        ids: what was read.
        mask: 0 for padding.
    """
    predicting, targets = next_tokens(states, ids, mask)
    return F.cross_entropy(output(predicting).float(), targets)


def next_tokens(states: Tensor, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The states (n, d) that a real token follows, and those tokens (n,); states (b, t, d), ids and mask (b, t)."""
    real = (mask[:, 1:] * mask[:, :-1]).bool()
    return states[:, :-1][real], ids[:, 1:][real]  # none for padding, since its scores would be many

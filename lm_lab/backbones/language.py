"""From final hidden states to the scores of every token: the output layer that a language model was pretrained with.

    logits = W (scale * h) + b        h (d,), W (V, d), b (V,)

W is the table of token embeddings where the model ties the two (GPT-2, BART, T5), else the checkpoint's `lm_head`;
scale is d^-1/2 for a T5 that ties them (Raffel et al. 2020, https://arxiv.org/abs/1910.10683), else 1; b is BART's
`final_logits_bias`, else 0. A tied table is the backbone's own: it trains where the backbone's embeddings do. An output
layer of its own stays as it was pretrained.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from lm_lab.backbones import identity, loading
from lm_lab.backbones.backbone import Backbone
from lm_lab.errors import UsageError

_WEIGHT, _BIAS = "lm_head.weight", "final_logits_bias"


class LanguageOutput(nn.Module):
    """The output layer of a decoder or an encoder-decoder; it has no parameters of its own.

    Raises:
        UsageError: the backbone is an encoder, or its configuration unties an output layer that its weights lack.
    """

    weight: Tensor | None
    bias: Tensor | None

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        config = backbone.config
        if not (backbone.family.causal or config.is_encoder_decoder):
            raise UsageError(
                f"{config.model_type} is an encoder: it predicts no next token; give a decoder (gpt2, llama) or an "
                "encoder-decoder (t5, bart)."
            )
        self.embeddings = (backbone.embeddings,)  # in a tuple: the table stays a child of the backbone alone
        self.scale = config.hidden_size**-0.5 if getattr(config, "scale_decoder_outputs", False) else 1.0
        found = read_tensors(backbone, (_WEIGHT, _BIAS)) if backbone.pretrained else {}
        self.register_buffer("weight", self._own(backbone, found.get(_WEIGHT)), persistent=False)
        self.register_buffer("bias", found[_BIAS].float().flatten() if _BIAS in found else None, persistent=False)

    def forward(self, states: Tensor) -> Tensor:
        """Final hidden states (..., d) -> scores of every token (..., V)."""
        weight = self.embeddings[0].get_parameter("weight") if self.weight is None else self.weight
        return F.linear(states * self.scale, weight, self.bias)

    def _own(self, backbone: Backbone, saved: Tensor | None) -> Tensor | None:
        """The weight where it is not the table of embeddings."""
        table = self.embeddings[0].get_parameter("weight")
        if saved is not None:
            return None if torch.equal(saved.float(), table) else saved.float()
        if backbone.config.tie_word_embeddings:
            return None
        if backbone.pretrained:
            raise UsageError(
                f"the weights at '{backbone.spec['source']}' have no {_WEIGHT}, and their configuration says that it "
                "is not the table of embeddings (tie_word_embeddings: false); give weights that were saved with it."
            )
        return torch.empty_like(table).normal_(std=getattr(backbone.config, "initializer_range", 0.02))


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


def read_tensors(backbone: Backbone, names: Iterable[str]) -> dict[str, Tensor]:
    """Those of the tensors called `names` that the backbone's weights on disk hold; nothing is unpickled."""
    found: dict[str, Tensor] = {}
    source = loading.locate(backbone.spec["source"])
    for file in identity.weight_files(source, None if Path(source).exists() else backbone.spec["revision"]):
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as tensors:
                found |= {name: tensors.get_tensor(name) for name in names if name in tensors.keys()}  # noqa: SIM118
        else:
            held = torch.load(file, weights_only=True, mmap=True, map_location="cpu")
            found |= {name: held[name] for name in names if name in held}
    return found

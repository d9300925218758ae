"""Masked language modelling: predict hidden tokens from both sides (Devlin et al. 2019, BERT).

    x~, y = mask_tokens(x)          15% of the tokens of each row
    h = backbone(x~)                (b, t, d)
    z = LayerNorm(gelu(W h + c))    on the n chosen positions alone: (n, e)
    loss = cross_entropy(z E^T + bias, y)        E (v, e): the input embeddings, tied

It differs from the released code in three ways: masks are drawn anew in every epoch, at least one and exactly
round(15%) positions of each row are chosen, and a random replacement is never a special token.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives.base import Loss, Objective
from lm_lab.objectives.noise import IGNORED, mask_tokens

_EVALUATION_SEED = 0


class MaskedLM(Objective):
    """BERT's masked language model. In eval mode a batch is always masked in the same way.

    Args:
        backbone: gives the tokenizer's special ids and the embeddings the decoder is tied to.
        probability: share of the tokens to predict, above 0 and at most 1.

    Raises:
        UsageError: the tokenizer has no mask token, its ids exceed the embeddings, or `probability` is not a share.
    """

    replacements: Tensor
    special: Tensor

    def __init__(self, backbone: Backbone, probability: float = 0.15) -> None:
        super().__init__()
        embeddings = _embeddings(backbone)
        _check(backbone, probability, embeddings.shape[0])
        size, width = embeddings.shape
        self.probability = probability
        self.mask_id: int = backbone.tokenizer.mask_token_id
        special = sorted(set(backbone.tokenizer.all_special_ids))
        ordinary = sorted(set(range(len(backbone.tokenizer))) - set(special))
        self.register_buffer("special", torch.tensor(special), persistent=False)
        self.register_buffer("replacements", torch.tensor(ordinary), persistent=False)
        self.dense = nn.Linear(backbone.hidden_size, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.bias = nn.Parameter(torch.zeros(size))
        nn.init.normal_(self.dense.weight, std=0.02)
        nn.init.zeros_(self.dense.bias)

    def forward(self, backbone: Backbone, batch: Mapping[str, Tensor]) -> Loss:
        """Return the mean cross entropy and the accuracy on the masked positions of a batch."""
        corrupted, targets = self._corrupt(batch)
        chosen = targets != IGNORED  # (b, t)
        hidden = backbone.last(**{**batch, "input_ids": corrupted})[chosen]  # (n, d)
        logits = self.logits(hidden, _embeddings(backbone)).float()  # (n, v)
        loss = F.cross_entropy(logits, targets[chosen])
        accuracy = (logits.detach().argmax(dim=-1) == targets[chosen]).float().mean()
        return Loss(loss, {"masked_lm": loss}, {"accuracy": accuracy})

    def logits(self, hidden: Tensor, embeddings: Tensor) -> Tensor:
        """Scores of every token, (n, v), from hidden states (n, d) and the input embeddings (v, e)."""
        return F.linear(self.norm(F.gelu(self.dense(hidden))), embeddings, self.bias)

    def _corrupt(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        ids = batch["input_ids"]
        eligible = batch["attention_mask"].bool() & ~torch.isin(ids, self.special)
        generator = None if self.training else torch.Generator(ids.device).manual_seed(_EVALUATION_SEED)
        return mask_tokens(
            ids, eligible, self.replacements, self.mask_id, probability=self.probability, generator=generator
        )


def _embeddings(backbone: Backbone) -> Tensor:
    """Return the input embeddings (v, e), looked up at each use: tied, yet no parameter of the objective."""
    return backbone.model.get_input_embeddings().weight


def _check(backbone: Backbone, probability: float, size: int) -> None:
    if not 0 < probability <= 1:
        raise UsageError(f"probability={probability}: the share of tokens to mask must be above 0 and at most 1.")
    tokenizer = backbone.tokenizer
    if tokenizer.mask_token_id is None:
        raise UsageError(
            f"The tokenizer of '{tokenizer.name_or_path}' has no mask token, which MaskedLM needs; "
            "choose a backbone of the BERT family, or add a mask token to the tokenizer."
        )
    if len(tokenizer) > size:
        raise UsageError(
            f"The tokenizer has {len(tokenizer)} tokens but the backbone embeds {size}; "
            f"set vocab_size in its config.json to {len(tokenizer)} or more, or give the tokenizer it was made with."
        )

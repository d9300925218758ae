"""Replaced token detection: which tokens did a small generator put there? (Clark et al. 2020, ELECTRA.)

    x~, y = corrupt(x)                           15% of the tokens; 85% of those become the mask, the rest stay
    q = softmax(generator(x~))                   on the n chosen positions: (n, v)
    x^ = x with a token drawn from q at each chosen position, without gradient
    s = w2 gelu(W1 backbone(x^) + c1) + c2       (b, t)
    loss = cross_entropy(q, y) + weight * binary_cross_entropy(s, x^ != x)        over every token but padding

https://arxiv.org/abs/2003.10555. A draw that happens to be the original token counts as original. Backbone and
generator share their embeddings; only the backbone, the discriminator, is kept. The number of chosen positions is
exact in each row, and no special token is hidden; the discriminator judges special tokens too, as in the released code.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.objectives.base import Loss, Objective, model_inputs, require_context
from lm_lab.objectives.generator import Generator
from lm_lab.objectives.masked.corruption import Corrupted, Corruption
from lm_lab.objectives.masked.masked_lm import embeddings
from lm_lab.objectives.masked.masking import Masking
from lm_lab.objectives.masked.noise import IGNORED

_SHARES = (0.85, 0.0)  # of the chosen: the mask, a random token


class Replaced(NamedTuple):
    """A batch with tokens of the generator.

    Attributes:
        input_ids: (b, t), what the discriminator reads.
        generator: the generator's loss at the chosen positions.
    """

    input_ids: Tensor
    generator: Loss


class ReplacedToken(Objective):
    """ELECTRA: the backbone learns to tell the tokens of a small generator from the original ones.

    Args:
        backbone: BERT or ELECTRA; the discriminator.
        probability: share of the tokens to replace, above 0 and at most 1.
        size: width of the generator as a share of the backbone's.
        weight: of the discriminator's loss.
        masking: what is replaced together; None takes single tokens.
        static: number of fixed maskings of each text; 0 draws masks anew at every use.

    Raises:
        UsageError: as `MaskedLM` and `Generator`.
    """

    def __init__(
        self,
        backbone: Backbone,
        probability: float = 0.15,
        size: float = 0.25,
        weight: float = 50.0,
        masking: Masking | None = None,
        static: int = 0,
    ) -> None:
        super().__init__()
        require_context(self, backbone)
        self.corrupt = Corruption(backbone, probability, masking, static, _SHARES)
        self.generator = Generator(backbone, size)
        self.weight = weight
        self.dense = nn.Linear(backbone.hidden_size, backbone.hidden_size)
        self.output = nn.Linear(backbone.hidden_size, 1)
        for layer in (self.dense, self.output):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(self, backbone: Backbone, batch: Mapping[str, Tensor]) -> Loss:
        """Return the weighted sum of both losses, each by name, both accuracies and the share of tokens replaced."""
        replaced = self.replace(backbone, batch)
        real = batch["attention_mask"].bool()
        labels = (replaced.input_ids != batch["input_ids"])[real]  # (n,)
        scores = self.discriminate(backbone.last(**model_inputs(batch, replaced.input_ids))[real])
        judged = {
            "discriminator_accuracy": ((scores.detach() > 0) == labels).float().mean(),
            "replaced": labels.float().mean(),
        }
        hidden = dict.fromkeys(("generator", "generator_accuracy"), replaced.generator.count)
        return Loss(
            replaced.generator.parts | {"discriminator": F.binary_cross_entropy_with_logits(scores, labels.float())},
            hidden | dict.fromkeys(("discriminator", *judged), len(labels)),
            {"generator_accuracy": replaced.generator.metrics["accuracy"]} | judged,
            weights={"discriminator": self.weight},
            targets=replaced.generator.targets,
        )

    def replace(self, backbone: Backbone, batch: Mapping[str, Tensor]) -> Replaced:
        """Return a batch whose chosen tokens are drawn from the generator, and the generator's loss."""
        noise = self.corrupt.generator(batch["input_ids"].device)
        corrupted: Corrupted = self.corrupt(batch, noise)
        chosen = corrupted.targets != IGNORED
        hidden = self.generator(backbone, model_inputs(batch, corrupted.input_ids))[chosen]
        logits, targets = self.generator.head(hidden, embeddings(backbone)), corrupted.targets[chosen]
        ids = batch["input_ids"].masked_scatter(chosen, sample(logits, noise))
        return Replaced(ids, Loss.of_tokens("generator", logits, targets))

    def discriminate(self, hidden: Tensor) -> Tensor:
        """Scores in fp32, above 0 where a token looks replaced: (..., d) -> (...)."""
        return self.output(F.gelu(self.dense(hidden))).squeeze(-1).float()


@torch.no_grad()
def sample(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw a token from the softmax of each row of scores, without gradient: (n, v) -> (n,)."""
    if not len(logits):  # which multinomial refuses
        return torch.empty(0, dtype=torch.long, device=logits.device)
    return torch.multinomial(logits.softmax(dim=-1), 1, generator=generator).squeeze(1)

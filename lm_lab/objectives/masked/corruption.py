"""The corruption that masked objectives share: which positions are chosen, what they become, and when anew.

    x~, y = hide(x, masking(x))        dynamic: masks are drawn at every use (RoBERTa, Liu et al. 2019)
                                       static: one of n fixed maskings of each text (BERT's duplicated data, n = 10)

A static masking is a function of a hash of the row's tokens and the number of the duplicate, which is drawn at each
use: BERT's data walked through all duplicates before it showed one again.
"""

import zlib
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives.masked.masking import Masking, TokenMasking
from lm_lab.objectives.masked.noise import IGNORED, hide

_EVALUATION_SEED = 0


class Corrupted(NamedTuple):
    """A batch with tokens hidden.

    Attributes:
        input_ids: (b, t), what the model reads.
        targets: (b, t), the original id where it is to be predicted, -100 elsewhere.
        units: (b, t), the unit of each token to predict, -1 elsewhere.
    """

    input_ids: Tensor
    targets: Tensor
    units: Tensor


class Corruption(nn.Module):
    """Hides tokens of batches. In eval mode a batch is always masked in the same way.

    Args:
        backbone: gives the tokenizer.
        probability: share of the tokens to predict, above 0 and at most 1.
        masking: what is hidden together; None takes single tokens.
        static: number of fixed maskings of each text; 0 draws masks anew at every use.
        shares: shares of the chosen tokens that become the mask, and a random token.

    Raises:
        UsageError: the tokenizer has no mask token, its ids exceed the embeddings, or a number is out of range.
    """

    replacements: Tensor
    special: Tensor

    def __init__(
        self,
        backbone: Backbone,
        probability: float = 0.15,
        masking: Masking | None = None,
        static: int = 0,
        shares: tuple[float, float] = (0.8, 0.1),
    ) -> None:
        super().__init__()
        _check(backbone, probability, static)
        tokenizer = backbone.tokenizer
        self.probability, self.static, self.shares = probability, static, shares
        self.mask_id: int = tokenizer.mask_token_id
        special = sorted(set(tokenizer.all_special_ids))
        ordinary = sorted(set(range(len(tokenizer))) - set(special))
        self.register_buffer("special", torch.tensor(special), persistent=False)
        self.register_buffer("replacements", torch.tensor(ordinary), persistent=False)
        self.masking = masking or TokenMasking()
        self.masking.prepare(tokenizer)

    def forward(self, batch: Mapping[str, Tensor], generator: torch.Generator | None = None) -> Corrupted:
        """Hide tokens of a batch of `input_ids`, `attention_mask` and perhaps `units`, each (b, t).

        Args:
            batch: is left as it is.
            generator: of the draws; None takes `generator()`, or in training with static masks those of each row.
        """
        if generator is None and self.static and self.training:
            return self._static(batch)
        ids = batch["input_ids"]
        generator = generator or self.generator(ids.device)
        eligible = batch["attention_mask"].bool() & ~torch.isin(ids, self.special)
        units = self.masking(ids, eligible, self.probability, generator, batch.get("units"))
        corrupted, targets = hide(
            *(ids, units, self.replacements, self.mask_id),
            shares=self.shares,
            per_unit=self.masking.per_unit,
            generator=generator,
        )
        return Corrupted(corrupted, targets, units)

    def generator(self, device: torch.device) -> torch.Generator | None:
        """Torch's own in training; in eval mode a fresh one, so that losses can be compared between epochs."""
        return None if self.training else torch.Generator(device).manual_seed(_EVALUATION_SEED)

    def _static(self, batch: Mapping[str, Tensor]) -> Corrupted:
        ids = batch["input_ids"]
        found = Corrupted(ids.clone(), torch.full_like(ids, IGNORED), torch.full_like(ids, -1))
        mask = batch["attention_mask"].bool()
        for i in mask.any(dim=1).nonzero().flatten().tolist():
            real = mask[i]
            # without padding, whose length depends on the batch, so that the draws depend on the row alone
            row = {name: values[i][real][None] for name, values in batch.items()}
            duplicate = int(torch.randint(self.static, ()))
            seed = zlib.crc32(row["input_ids"].cpu().numpy().tobytes(), duplicate)
            for whole, part in zip(found, self(row, torch.Generator(ids.device).manual_seed(seed)), strict=True):
                whole[i, real] = part[0]
        return found


def _check(backbone: Backbone, probability: float, static: int) -> None:
    if not 0 < probability <= 1:
        raise UsageError(f"probability={probability}: the share of tokens to mask must be above 0 and at most 1.")
    if static < 0:
        raise UsageError(f"static={static}: expected the number of maskings per text (BERT: 10), or 0 for new ones.")
    tokenizer = backbone.tokenizer
    if tokenizer.mask_token_id is None:
        raise UsageError(
            f"The tokenizer of '{tokenizer.name_or_path}' has no mask token, which this objective needs; "
            "choose a backbone of the BERT family, or add a mask token to the tokenizer."
        )

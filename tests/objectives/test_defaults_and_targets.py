"""What an objective hides, how, and what it asks for, by its defaults: each test fails if the default is another."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from learning import texts
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.objectives import MaskedLM, ReplacedToken, SpanBERT, WordStructure
from lm_lab.objectives.masked.corruption import Corruption
from lm_lab.objectives.masked.masking import NGramMasking, SpanMasking, TokenMasking, WholeWordMasking
from lm_lab.objectives.masked.noise import IGNORED

Make = Callable[..., Backbone]


def rows(backbone: Backbone, count: int = 200, length: int = 128) -> dict[str, Tensor]:
    ordinary = sorted(set(range(len(backbone.tokenizer))) - set(backbone.tokenizer.all_special_ids))
    ids = torch.tensor(ordinary)[torch.randint(len(ordinary), (count, length))]
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


@pytest.mark.parametrize(
    ("of", "masked", "random"),
    [
        (lambda b: Corruption(b), 0.8, 0.1),
        (lambda b: MaskedLM(b).corrupt, 0.8, 0.1),
        (lambda b: WordStructure(b).corrupt, 0.8, 0.1),
        (lambda b: SpanBERT(b).masked_lm.corrupt, 0.8, 0.1),
        (lambda b: ReplacedToken(b).corrupt, 0.85, 0.0),
    ],
)
def test_shares_of_masks_and_random_tokens(make: Make, of: Any, masked: float, random: float) -> None:
    backbone = make()
    batch, corrupt = rows(backbone), of(backbone).train()
    found = corrupt(batch)
    chosen = found.targets != IGNORED
    assert chosen.float().mean().item() == pytest.approx(0.15, abs=0.002)  # exact in each row, but for rounding
    ids = found.input_ids[chosen]
    units = chosen.sum().item() / (3.8 if isinstance(corrupt.masking, SpanMasking) else 1)
    spread = 4.5 * (0.8 * 0.2 / units) ** 0.5
    assert (ids == corrupt.mask_id).float().mean().item() == pytest.approx(masked, abs=spread)
    other = (ids != corrupt.mask_id) & (ids != batch["input_ids"][chosen])
    # one random token in so many is the original one by chance
    assert other.float().mean().item() == pytest.approx(random * (1 - 1 / len(corrupt.replacements)), abs=spread)


@pytest.mark.parametrize(
    ("masking", "together"),
    [(SpanMasking(), True), (TokenMasking(), False), (WholeWordMasking(), False), (NGramMasking(), False)],
)
def test_a_span_alone_shares_one_fate(make: Make, masking: Any, together: bool) -> None:
    """Mask, random token or neither: once for a span, as in SpanBERT; else for each token."""
    backbone = make()
    corrupt = Corruption(backbone, 0.4, masking).train()
    found = corrupt(rows(backbone, 50))
    mixed = 0
    for ids, units in zip(found.input_ids, found.units, strict=True):
        for unit in units[units >= 0].unique():
            hidden = ids[units == unit] == corrupt.mask_id
            mixed += bool(hidden.any() and not hidden.all())
    longer = any((row[row >= 0].bincount() > 1).any() for row in found.units)
    assert mixed == 0 if together or not longer else mixed > 0
    assert masking.per_unit == together


def test_shuffled_places_ask_for_the_token_that_stood_there(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = make()
    objective = WordStructure(backbone, shuffled=1.0).train()
    asked: list[tuple[Tensor, Tensor]] = []
    last = backbone.last
    monkeypatch.setattr(backbone, "last", lambda **inputs: asked.append((inputs["input_ids"],)) or last(**inputs))
    predict = objective.predict
    monkeypatch.setattr(
        objective, "predict", lambda hidden, targets, table: asked.append((targets,)) or predict(hidden, targets, table)
    )
    batch = texts(backbone)
    objective(backbone, batch)
    (read,), (targets,) = asked
    predicted = targets != IGNORED
    assert torch.equal(targets[predicted], batch["input_ids"][predicted])
    moved = predicted & (read != batch["input_ids"]) & (read != objective.corrupt.mask_id)
    assert moved.sum() > 20  # places where another token of the text stands now

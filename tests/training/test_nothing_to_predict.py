"""A batch without a token to predict has the loss 0 with no gradient, and counts for nothing."""

from collections.abc import Callable
from typing import Any

import lightning as L
import pytest
import torch
from fixed_texts import QUIET, FixedTexts

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives import (
    CausalLM,
    MaskedLM,
    PermutationLM,
    ReplacedToken,
    SpanBERT,
    TransformerXL,
    UniLM,
    WordStructure,
)
from lm_lab.training.pretraining import Pretraining

Make = Callable[..., Backbone]


@pytest.mark.parametrize(
    ("family", "objective"),
    [
        ("bert", MaskedLM),
        ("bert", SpanBERT),
        ("bert", ReplacedToken),
        ("bert", UniLM),
        ("bert", WordStructure),
        ("gpt2", CausalLM),
        ("xlnet", PermutationLM),
        ("xlnet", TransformerXL),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_special_tokens_alone_are_nothing_to_predict(make: Make, family: str, objective: Any, training: bool) -> None:
    backbone = make(family).train(training)
    ids = torch.full((3, 1), backbone.tokenizer.all_special_ids[0])
    loss = objective(backbone).train(training)(backbone, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    assert loss.count == 0
    first = next(iter(loss.parts))
    assert loss.parts[first].item() == 0
    loss.parts[first].backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in backbone.parameters())


class Holes(FixedTexts):
    """The first texts of every two batches are of special tokens alone."""

    def __init__(self, special: int, every: int) -> None:
        super().__init__(texts=16)
        for number, row in enumerate(self.rows):
            if number // 4 % every == 0:
                row["input_ids"] = torch.full_like(row["input_ids"], special)


def test_a_step_without_targets_is_skipped_and_counted(make: Make) -> None:
    model = Pretraining(make(dropout=0.0), MaskedLM, learning_rate=0.1)
    special = model.backbone.tokenizer.all_special_ids[0]
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    trainer = L.Trainer(**QUIET, max_epochs=1, limit_val_batches=0, limit_train_batches=1)
    with pytest.raises(UsageError, match="no batch of the epoch has a token for MaskedLM to predict"):
        trainer.fit(model, Holes(special, every=2))
    assert all(torch.equal(value, before[name]) for name, value in model.backbone.state_dict().items())
    trainer = L.Trainer(**QUIET, max_epochs=1, limit_val_batches=0)
    with pytest.warns(UserWarning, match="2 of 4 batches had no token to predict"):
        trainer.fit(model, Holes(special, every=2))
    assert all(value.isfinite().all() for value in model.state_dict().values())

from collections.abc import Callable
from functools import partial
from typing import Any

import lightning as L
import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from lm_lab import bind
from lm_lab.backbones import Backbone
from lm_lab.data.corpora.corpus import Corpus
from lm_lab.objectives import MASS, CausalLM, MaskedLM, NextSentence, ReplacedToken, SpanBERT, SumOfObjectives
from lm_lab.objectives.base import Loss
from lm_lab.training.losses.unigram import UnigramLoss
from lm_lab.training.pretraining import Pretraining

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec.*"),
]
TOKEN_LOSSES = {"val/generator", "val/masked_lm", "val/span_boundary", "val/loss"}
CORPUS = {"documents": 200, "held_out": 40, "batch_size": 16, "max_length": 64}


def test_it_is_the_entropy_of_what_was_counted() -> None:
    counted = UnigramLoss(50)
    parts = [torch.randint(50, (n,)) for n in (30, 1, 200)]
    for part in parts:
        counted.update(part)
    counts = np.bincount(torch.cat(parts).numpy(), minlength=50)
    assert counted.close() == pytest.approx(scipy.stats.entropy(counts), abs=1e-6)
    assert np.isnan(counted.close())  # forgotten


class Watched(Pretraining):
    """Keeps the targets of every batch of held-out text."""

    seen: list[Tensor | None]

    def forward(self, batch: dict[str, Tensor]) -> Loss:
        loss = super().forward(batch)
        if not self.training:
            self.seen.append(loss.targets)
        return loss


@pytest.mark.parametrize(
    ("family", "objective"),
    [("bert", MaskedLM), ("bert", SpanBERT), ("bert", ReplacedToken), ("gpt2", CausalLM), ("bart", MASS)],
)
def test_validation_logs_the_loss_of_guessing_what_is_predicted(
    make: Callable[..., Backbone], family: str, objective: Any
) -> None:
    backbone = make(family)
    model, trainer = Watched(backbone, objective), quiet_trainer()
    model.seen = []
    logged = trainer.validate(model, bind(model, Corpus(**CORPUS)), verbose=False)[0]
    targets = torch.cat(model.seen)
    expected = scipy.stats.entropy(np.bincount(targets.numpy()))
    assert logged["val/unigram"] == pytest.approx(expected, abs=1e-5)
    # random weights know nothing: no loss of predicting these tokens is below it
    assert 0 < expected < min(value for name, value in logged.items() if name in TOKEN_LOSSES)


def test_a_sum_counts_what_each_of_its_terms_predicts(make: Callable[..., Backbone]) -> None:
    backbone = make()
    batch = {
        "input_ids": torch.randint(5, 40, (3, 20)),
        "attention_mask": torch.ones(3, 20, dtype=torch.long),
        "next_sentence": torch.tensor([0, 1, 0]),
    }
    few, many = partial(MaskedLM, probability=0.1), partial(MaskedLM, probability=0.4)
    both = SumOfObjectives(backbone, {"few": few, "many": many, "order": NextSentence})(backbone, batch)
    assert both.targets is not None
    assert both.targets.shape == (3 * (2 + 8),)
    alone = SumOfObjectives(backbone, {"order": NextSentence})(backbone, batch)
    assert alone.targets is None  # a relation of sentences is no token


def quiet_trainer() -> L.Trainer:
    return L.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)

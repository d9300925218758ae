"""Fits a probe's standardisation to the features of the training set, before the first step."""

from collections.abc import Iterable, Iterator
from typing import Any

import lightning as L
import torch
from torch import Tensor

from lm_lab.heads.readout import Readout
from lm_lab.heads.scorers import Standardise
from lm_lab.models import AdaptedModel

ENOUGH = 2**20  # vectors; of tokens there are more, which would cost a pass over the training set to change nothing


def fit_standardisation(model: AdaptedModel, trainer: L.Trainer, loader: Iterable[Any] | None = None) -> None:
    """Fit what of the head standardises and has not been fitted; the model is left in train mode.

    Args:
        model: whose head it is.
        trainer: moves batches, and has a precision.
        loader: of the training set; None: the trainer's.
    """
    for module in model.head.modules():
        if isinstance(module, Standardise) and not module.fitted:
            module.fit(_training_vectors(model, trainer, trainer.train_dataloader if loader is None else loader))


@torch.no_grad()
def _training_vectors(model: AdaptedModel, trainer: L.Trainer, loader: Any) -> Iterator[Tensor]:
    """What the head would read of batches in their training order, (n, layers, d) without padding, up to `ENOUGH`."""
    assert isinstance(model.head, Readout)
    model.eval()
    seen = 0
    with trainer.precision_plugin.forward_context():
        for batch in loader:
            batch = trainer.strategy.batch_to_device(batch)
            vectors = model.head.vector(model.features(batch))
            real = batch["texts"][0]["attention_mask"].bool() if vectors.dim() == 3 else ...
            yield vectors[real]
            seen += len(vectors[real])
            if seen >= ENOUGH:
                break
    model.train()

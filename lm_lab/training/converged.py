"""Fits a linear probe to convergence in place of steps: what `LinearProbe(penalty=...)` asks for."""

from typing import Any

import lightning as L
import torch
from torch import Tensor

from lm_lab.errors import UsageError
from lm_lab.heads.readout import TextReadout
from lm_lab.heads.scorers import ProbeHead
from lm_lab.models import AdaptedModel
from lm_lab.probing import linear
from lm_lab.strategies import LinearProbe
from lm_lab.tasks import TextTask


def fit_converged(model: AdaptedModel, trainer: L.Trainer) -> None:
    """Fit the head to the features of the training set and end the training, if the strategy has a penalty.

    Raises:
        UsageError: the head or the task is none that a linear probe can be fitted for.
    """
    if not isinstance(model.strategy, LinearProbe) or model.strategy.penalty is None:
        return
    scorer, task = _scorer(model), model.task
    if scorer is None or not isinstance(task, TextTask) or task.class_weights:
        raise UsageError(
            f"penalty={model.strategy.penalty:g} fits one linear layer to a vector a text, for classes of equal weight "
            "or a graded score; leave it out here, so that the probe trains in steps."
        )
    x, labels = _training_set(model, trainer)
    low, high = task.label_range
    y = labels if task.labels else (labels - low) / (high - low) - 0.5  # as the task's loss has it
    probe = linear.fit(x, y, len(task.labels), model.strategy.penalty)
    own = (scorer.standardise.mean, scorer.standardise.std, scorer.out.weight, scorer.out.bias)
    with torch.no_grad():
        for values, fitted in zip(own, (probe.mean, probe.std, probe.weight, probe.bias), strict=True):
            values.copy_(fitted)
    trainer.should_stop = True


def _scorer(model: AdaptedModel) -> ProbeHead | None:
    """The head's one layer behind the standardisation, on features that never change; None for another head."""
    head = model.head
    scorer = head.scorer if isinstance(head, TextReadout) and head.fixed_features else None
    return scorer if isinstance(scorer, ProbeHead) else None


@torch.no_grad()
def _training_set(model: AdaptedModel, trainer: L.Trainer) -> tuple[Tensor, Tensor]:
    """Vectors (n, w) and labels (n,), on the CPU."""
    vectors, labels, head = [], [], model.head
    assert isinstance(head, TextReadout)
    model.eval()
    with trainer.precision_plugin.forward_context():
        for given in trainer.train_dataloader:  # type: ignore[union-attr]
            batch: dict[str, Any] = trainer.strategy.batch_to_device(given)
            vectors.append(head.vector(model.features(batch)).float().cpu())
            labels.append(batch["labels"].cpu())
    model.train()
    return torch.cat(vectors), torch.cat(labels)

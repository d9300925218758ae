"""Fits a linear probe to convergence in place of steps: what `LinearProbe(penalty=...)` asks for."""

from collections.abc import Sequence
from typing import Any, cast

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
    if not converges(model):
        return
    if not can_converge(model):
        raise UsageError(
            f"penalty={_penalty(model):g} fits one linear layer to a vector a text, for classes of equal weight "
            "or a graded score; leave it out here, so that the probe trains in steps."
        )
    fit_path([model], *_training_set(model, trainer))
    trainer.should_stop = True


def converges(model: AdaptedModel) -> bool:
    """True for a probe that takes no steps."""
    return isinstance(model.strategy, LinearProbe) and model.strategy.penalty is not None


def can_converge(model: AdaptedModel) -> bool:
    """True if its head is one layer on features that never change, for a loss that has one minimum."""
    head, task = model.head, model.task
    alone = isinstance(head, TextReadout) and head.fixed_features and isinstance(head.scorer, ProbeHead)
    return alone and isinstance(task, TextTask) and not task.class_weights


@torch.no_grad()
def fit_path(models: Sequence[AdaptedModel], x: Tensor, labels: Tensor) -> None:
    """Fit heads that read the same vectors x (n, w), with all their penalties at once; labels (n,)."""
    task: Any = models[0].task
    low, high = task.label_range
    y = labels if task.labels else (labels - low) / (high - low) - 0.5  # as the task's loss has it
    penalties = sorted({_penalty(model) for model in models})
    (path,) = linear.fit_path(x[None], y, len(task.labels), penalties)
    for model in models:
        probe, scorer = path[penalties.index(_penalty(model))], cast("ProbeHead", model.head.scorer)
        own = (scorer.standardise.mean, scorer.standardise.std, scorer.out.weight, scorer.out.bias)
        for values, fitted in zip(own, (probe.mean, probe.std, probe.weight, probe.bias), strict=True):
            values.copy_(fitted)


def _penalty(model: AdaptedModel) -> float:
    return float(cast("LinearProbe", model.strategy).penalty or 0.0)


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

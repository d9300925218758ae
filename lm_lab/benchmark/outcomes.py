"""What a trained cell is judged by: its predictions, its scores, and the part of its record that they fill."""

import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch

from lm_lab import provenance
from lm_lab.benchmark import deltas
from lm_lab.data.modules.base import HELD_OUT, TaskData
from lm_lab.errors import UsageError
from lm_lab.models import AdaptedModel
from lm_lab.models.ledger import ledger
from lm_lab.redaction import redacted
from lm_lab.results.predictions import Predictions
from lm_lab.results.records import CellRecord
from lm_lab.tasks import Task, task_score
from lm_lab.training.callbacks.watching import DivergedError

Metrics = Callable[[torch.Tensor, torch.Tensor], dict[str, float]]


def judged(
    model: AdaptedModel, data: TaskData, trainer: L.Trainer, predictions: Predictions, kept: Path | None = None
) -> tuple[dict[str, Any], Predictions]:
    """Scores, counts and hardware for the record, and the predictions as the metrics take them.

    `kept`: a folder for the delta, with which the model is done.
    """
    task, predictions = _calibrated(data.task, predictions)
    scores = _by_kind(task, predictions, data.domains, task.scores)
    compiled = getattr(trainer.lightning_module, "compiled", False)
    measured = {
        "scores": scores,
        "score": {split: task_score(values) for split, values in scores.items()},
        "details": _by_kind(task, predictions, data.domains, task.detailed) if task.details else {},
        "ledger": ledger(model),
        "layer_weights": model.layer_weights(),
        "hardware": provenance.hardware() | {"precision": str(trainer.precision), "compiled": compiled},
    }
    if kept is not None:
        deltas.save(model, task, data, kept)
    return measured, predictions


def collected(batches: Iterable[Mapping[str, Any]]) -> Predictions:
    """Judged batches, with `split`, `ids`, `predictions` and `labels`, in the order of splits and ids."""
    batches = list(batches)
    splits = np.concatenate([np.full(len(batch["ids"]), batch["split"]) for batch in batches])
    ids, values, labels = (torch.cat([b[name].cpu() for b in batches]) for name in ("ids", "predictions", "labels"))
    order = np.lexsort((ids.numpy(), splits))
    return Predictions(
        splits[order], ids.numpy()[order], values.double().numpy()[order], labels.double().numpy()[order]
    )


def _calibrated(task: Task, predictions: Predictions) -> tuple[Task, Predictions]:
    """The task, calibrated on held-out examples, and predictions as its metrics take them then."""
    values, labels = torch.from_numpy(predictions.prediction), torch.from_numpy(predictions.label)
    held_out = torch.from_numpy(predictions.split == HELD_OUT)
    if held_out.any():
        task = task.calibrated(values[held_out], labels[held_out])
    return task, predictions._replace(prediction=task.kept(values, labels).numpy())


def _by_kind(
    task: Task, predictions: Predictions, domains: tuple[str, ...], metrics: Metrics
) -> dict[str, dict[str, float]]:
    """Metrics of `validation`, `selection` and every other domain.

    A task with several validation splits names its metrics after them.
    """
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    for split in dict.fromkeys(predictions.split.tolist()):
        rows = predictions.split == split
        values = metrics(torch.from_numpy(predictions.prediction[rows]), torch.from_numpy(predictions.label[rows]))
        suffix = split.removeprefix("validation") if split in task.validation and len(task.validation) > 1 else ""
        kind = split if split == HELD_OUT or split in domains else "validation"
        scores[kind] |= {f"{name}{suffix}": value for name, value in values.items()}
    return dict(scores)


def failure(found: CellRecord, error: BaseException) -> None:
    """Write into a record what ended its cell."""
    found["status"] = "diverged" if isinstance(error, DivergedError) else "failed"
    found["reason"] = redacted(f"{type(error).__name__}: {first_line(error)}")
    expected = isinstance(error, DivergedError | UsageError)
    found["traceback"] = None if expected else redacted("".join(traceback.format_exception(error)))


def first_line(error: BaseException) -> str:
    """Of what an error says."""
    return next(iter(str(error).strip().splitlines()), "")

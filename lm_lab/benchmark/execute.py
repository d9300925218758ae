"""Run a job: build each cell from its configuration as the command line would, fit, evaluate, measure."""

import time
import traceback
import warnings
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch

from lm_lab import provenance
from lm_lab.benchmark.features import Cost, has_fixed_features, use_features
from lm_lab.benchmark.jobs import Job, Result, record
from lm_lab.benchmark.plan import PlannedCell
from lm_lab.config.adapting import AdaptCLI, build
from lm_lab.config.lightning_cli import quiet, restrict
from lm_lab.data.modules.base import HELD_OUT, TaskData
from lm_lab.errors import UsageError
from lm_lab.models.ledger import ledger
from lm_lab.redaction import redacted
from lm_lab.results.coordinates import BACKBONE, TASK
from lm_lab.results.predictions import Predictions
from lm_lab.tasks import Task, task_score
from lm_lab.training.callbacks.meter import TrainingMeter
from lm_lab.training.callbacks.watching import DivergedError
from lm_lab.training.machine import memory

Metrics = Callable[[torch.Tensor, torch.Tensor], dict[str, float]]

TRAINER = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "limit_val_batches": 0,  # evaluation comes once, after training, on a clock of its own
    "num_sanity_val_steps": 0,
}


def run(job: Job) -> list[Result]:
    """Train and evaluate the cells of a job; each has a result, whatever becomes of it, but for an interrupt."""
    return [_run_cell(job, planned) for planned in job.cells]


def _run_cell(job: Job, planned: PlannedCell) -> Result:
    found, predictions = record(job, planned, "failed"), None
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a worker has no one to warn; counts are in the data module's log
            measured, predictions = _measure(planned, job)
        found.update(measured)  # type: ignore[typeddict-item]
        found["status"] = "done"
    except (Exception, SystemExit) as error:
        found["status"] = "diverged" if isinstance(error, DivergedError) else "failed"
        found["reason"] = redacted(f"{type(error).__name__}: {_first_line(error)}")
        expected = isinstance(error, DivergedError | UsageError)
        found["traceback"] = None if expected else redacted(traceback.format_exc())
    memory.release()
    return found, predictions


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "")


def _measure(planned: PlannedCell, job: Job) -> tuple[dict[str, Any], Predictions]:
    restrict(job.imports)
    started = time.perf_counter()
    meter = TrainingMeter()
    config = planned.config | {"trainer": planned.config["trainer"] | TRAINER}
    cli = build(config, run=False, callbacks=(meter,))
    # read once, so that what is hashed is what is trained and scored on
    cli.datamodule.rows = cache(cli.datamodule.rows)
    _require_same(planned, cli)
    cost = _prepare(cli, job.features)
    prepared = time.perf_counter()
    if cli.model.model.trained:
        cli.trainer.fit(cli.model, cli.datamodule)
    fitted = time.perf_counter()
    predictions = _predict(cli.trainer, cli.model, cli.datamodule)
    ended = time.perf_counter()
    task, predictions = _calibrated(cli.datamodule.task, predictions)
    scores = _by_kind(task, predictions, cli.datamodule.domains, task.scores)
    measured = {
        "scores": scores,
        "score": {split: task_score(values) for split, values in scores.items()},
        "details": _by_kind(task, predictions, cli.datamodule.domains, task.detailed) if task.details else {},
        "ledger": ledger(cli.model.model),
        "layer_weights": cli.model.model.layer_weights(),
        "hardware": provenance.hardware() | {"precision": str(cli.trainer.precision)},
        "clocks": {
            # a probe's features are one forward pass over the training set, paid once and counted in every probe
            "train_seconds": meter.seconds + cost.seconds,
            "train_cpu_seconds": meter.cpu_seconds + cost.cpu_seconds,
            "feature_seconds": cost.seconds,
            "prepare_seconds": prepared - started,
            "evaluate_seconds": ended - fitted,
            "total_seconds": ended - started,
            "steps": meter.steps,
            "examples": meter.examples,
            "examples_per_second": meter.examples / max(meter.seconds + cost.seconds, 1e-9),
        },
        "memory": {"train_peak_bytes": meter.peak_bytes, "kind": memory.kind(cli.model.device)},
        "history": meter.history,
    }
    return measured, predictions


def _require_same(planned: PlannedCell, cli: AdaptCLI) -> None:
    """Raise a UsageError if the data or the weights are no longer those that the cell was planned with."""
    found = {"data": cli.datamodule.fingerprint()}
    if cli.model.backbone.pretrained:
        found["weights"] = cli.model.backbone.fingerprint
    for what, print_ in found.items():
        if (expected := planned.fingerprints[what]) != print_:
            where = planned.cell["coordinates"][TASK if what == "data" else BACKBONE]
            raise UsageError(
                f"the {what} of '{where}' changed while the suite ran: {expected} when it was planned, {print_} now. "
                "The same command plans new cells for what is there now."
            )


def _prepare(cli: AdaptCLI, features: Path | None) -> Cost:
    """Tokenise before the clocks of training start; put stored features in place for a probe."""
    model, data = cli.model.model, cli.datamodule
    if features is not None and has_fixed_features(model):
        return use_features(model, data, cli.trainer, features)
    data.encode(("train", *data.evaluated))
    return Cost(0.0, 0.0)


def _predict(trainer: L.Trainer, model: L.LightningModule, data: TaskData) -> Predictions:
    """Predictions of the validation splits and of the held-out part of train."""
    trainer.datamodule = None  # type: ignore[attr-defined]  # it would read the test splits, which need not be there
    found = trainer.predict(model, dataloaders=data.val_dataloader()) or []
    batches: list[Any] = [batch for item in found for batch in (item if isinstance(item, list) else [item])]
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

"""Run a job: build each cell from its configuration as the command line would, fit, evaluate, measure."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch

from lm_lab.benchmark import packed_cells, probes
from lm_lab.benchmark.boundaries import use_boundary
from lm_lab.benchmark.cells import built, judged_on, silent
from lm_lab.benchmark.features import Cost, has_fixed_features, use_features
from lm_lab.benchmark.following import follows
from lm_lab.benchmark.grouping import key
from lm_lab.benchmark.heads_alone import on_features
from lm_lab.benchmark.jobs import Job, Result, record
from lm_lab.benchmark.outcomes import collected, failure, first_line, judged
from lm_lab.benchmark.plan import PlannedCell
from lm_lab.config.adapting import AdaptCLI
from lm_lab.config.imports import restrict
from lm_lab.data.batching import ResumableLoader
from lm_lab.errors import UsageError
from lm_lab.packs.errors import ApartError, TooManyError
from lm_lab.redaction import redacted
from lm_lab.results.predictions import Predictions
from lm_lab.training.callbacks.meter import TrainingMeter
from lm_lab.training.machine import memory

_FIT: dict[str, int] = {}  # how many cells of a kind this machine has memory for, where that was too few


def run(job: Job) -> list[Result]:
    """Train and evaluate the cells of a job; each has a result, whatever becomes of it, but for an interrupt."""
    if len(job.cells) == 1:
        return [_run_cell(job, job.cells[0])]
    if job.features is not None and all(on_features(planned.config) for planned in job.cells):
        return _run_probes(job)
    return _run_pack(job)


def _run_pack(job: Job) -> list[Result]:
    """In one pass, in parts where that takes more memory than there is, or each alone with the reason."""
    reason, fit = None, _FIT.get((kind := key(job.cells[0])) or "", len(job.cells))
    if fit < len(job.cells):
        return _in_parts(job, fit)
    try:
        return packed_cells.run(job)
    except torch.OutOfMemoryError:
        fit = len(job.cells) // 2
    except TooManyError as error:
        fit = error.fit
    except ApartError as error:
        reason = str(error)
    except (UsageError, SystemExit):  # of one of them, which will say it again
        reason = ""
    except Exception as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
    memory.release()
    if reason is None:
        _FIT.update({kind: fit} if kind else {})
        return _in_parts(job, fit)
    results = [_run_cell(job, planned) for planned in job.cells]
    for found, _ in results if reason else []:
        found["apart"] = redacted(reason)
    return results


def _in_parts(job: Job, size: int) -> list[Result]:
    return [found for at in range(0, len(job.cells), size) for found in run(job.of(job.cells[at : at + size]))]


def _run_probes(job: Job) -> list[Result]:
    """Those that can go together do; where that fails, what is wrong with a cell shows when it runs alone."""
    try:
        results, left = probes.run(job)
    except (Exception, SystemExit) as error:
        alone = [_run_cell(job, planned) for planned in job.cells]
        for found, _ in alone:
            found["apart"] = redacted(f"{type(error).__name__}: {first_line(error)}")
        return alone
    return [*results, *(_run_cell(job, planned) for planned in left)]


def _run_cell(job: Job, planned: PlannedCell) -> Result:
    found, predictions = record(job, planned, "failed"), None
    try:
        with silent():
            measured, predictions = _measure(planned, job)
        found.update(measured)  # type: ignore[typeddict-item]
        found["status"] = "done"
    except (Exception, SystemExit) as error:
        failure(found, error)
    memory.release()
    return found, predictions


def _measure(planned: PlannedCell, job: Job) -> tuple[dict[str, Any], Predictions]:
    restrict(job.imports)
    started = time.perf_counter()
    meter = TrainingMeter()
    cli = built(planned, meter, *follows(job.of((planned,)), [meter.history]))
    cost = _prepare(cli, job.features)
    prepared = time.perf_counter()
    if cli.model.model.trained:
        cli.trainer.fit(cli.model, cli.datamodule)
    fitted = time.perf_counter()
    predictions = _predict(cli.trainer, cli.model, judged_on(planned, cli.datamodule))
    ended = time.perf_counter()
    measured, predictions = judged(cli.model.model, cli.datamodule, cli.trainer, predictions, job.kept(planned))
    clocks = {
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
    }
    peak = {"train_peak_bytes": meter.peak_bytes, "kind": memory.kind(cli.model.device)}
    return measured | {"clocks": clocks, "memory": peak, "history": meter.history}, predictions


def _prepare(cli: AdaptCLI, features: Path | None) -> Cost:
    """Tokenise before the clocks of training start; put in place what is stored of frozen parts."""
    module, data = cli.model, cli.datamodule
    if features is not None and has_fixed_features(module.model):
        return use_features(module.model, data, cli.trainer, features)
    data.encode(("train", *data.evaluated))
    if features is None or module.language is not None:
        return Cost(0.0, 0.0)
    return use_boundary(module.model, data, cli.trainer, features) or Cost(0.0, 0.0)


def _predict(trainer: L.Trainer, model: L.LightningModule, loaders: Sequence[ResumableLoader]) -> Predictions:
    """Predictions of the splits that a cell is judged on."""
    trainer.datamodule = None  # type: ignore[attr-defined]  # it would read the test splits, which need not be there
    found = trainer.predict(model, dataloaders=loaders) or []
    return collected(batch for item in found for batch in (item if isinstance(item, list) else [item]))

"""Run a job of several cells in one pass over their backbone; each gets the record of a single run.

Where that cannot be, or gains nothing, as a short trial tells, the cells are to train alone (`ApartError`).
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import lightning as L

from lm_lab.benchmark.boundaries import in_epoch, use_boundary
from lm_lab.benchmark.cells import built, judged_on, silent
from lm_lab.benchmark.features import Cost
from lm_lab.benchmark.following import follows
from lm_lab.benchmark.jobs import Job, Result, record
from lm_lab.benchmark.outcomes import collected, judged
from lm_lab.config.adapting import AdaptCLI
from lm_lab.config.imports import restrict
from lm_lab.data.batching import ResumableLoader
from lm_lab.models.boundary import STATES
from lm_lab.packs import PackedAdaptation
from lm_lab.packs.clock import PackClock
from lm_lab.packs.data import PackedData
from lm_lab.packs.errors import ApartError
from lm_lab.packs.room import require_room
from lm_lab.packs.streams import Stream
from lm_lab.packs.trial import GAIN, gain, require_same
from lm_lab.results.predictions import Predictions
from lm_lab.training.callbacks.watching import no_number
from lm_lab.training.machine import memory

SMALL = 256  # tokens of a run's batch; see docs/performance.md


def run(job: Job) -> list[Result]:
    """Train and evaluate the cells of a job together.

    Raises:
        ApartError: they cannot train in one pass, or it would not be faster.
        TooManyError: there is no memory for so many.
        torch.OutOfMemoryError: nor was there for what was tried.
    """
    results = _run(job)
    memory.release()
    return results


def _run(job: Job) -> list[Result]:
    restrict(job.imports)
    with silent():
        started = time.perf_counter()
        clock = PackClock()
        module, data, trainer = _assembled(job, clock)
        cost = _start(job, module, data, trainer)
        _try(module, data, trainer)
        trainer.callbacks += follows(job, module.history)  # type: ignore[attr-defined]
        prepared = time.perf_counter()
        trainer.fit(module, data)
        fitted = time.perf_counter()
        predictions = _predict(trainer, module, judged_on(job.cells[0], data.data))
        times = Times(prepared - started, time.perf_counter() - fitted, cost)
        return [_result(job, at, module, data, trainer, clock, predictions[at], times) for at in range(len(job.cells))]


class Times(NamedTuple):
    """Seconds around a pack's training, and what its stored states took when they were computed."""

    prepare: float
    evaluate: float
    states: Cost


def _assembled(job: Job, clock: PackClock) -> tuple[PackedAdaptation, PackedData, L.Trainer]:
    """The runs, each built as alone; the first one's data and trainer serve all."""
    first: AdaptCLI | None = None
    runs, streams = [], []
    for planned in job.cells:
        cli = built(planned, *([] if first else [clock]))
        if first is None:
            first = cli
            first.datamodule.encode(("train", *first.datamodule.evaluated))
            _require_small(first)
        _require_same_texts(first, cli)
        runs.append(cli.model)
        streams.append(Stream())
    assert first is not None
    return PackedAdaptation(runs, streams), PackedData(first.datamodule, streams), first.trainer


def _require_small(cli: AdaptCLI) -> None:
    """Raise `ApartError` for batches that keep a CPU busy each alone, before anything more is built."""
    data = cli.datamodule
    tokens = float(data.encoded["train"].lengths.mean()) * data.batch_size
    if cli.trainer.strategy.root_device.type == "cpu" and tokens > SMALL:
        raise ApartError(f"batches of about {tokens:.0f} tokens: on a CPU packs gain below {SMALL}.")


def _require_same_texts(first: AdaptCLI, other: AdaptCLI) -> None:
    """Raise `ApartError` where a longer prompt leaves less room for a text, which is cut sooner."""
    room = [min(cli.datamodule.max_length, cli.model.model.encoding.max_length) for cli in (first, other)]
    if room[0] != room[1]:
        raise ApartError(f"prompts of several lengths leave texts {room[0]} and {room[1]} tokens.")


def _start(job: Job, module: PackedAdaptation, data: PackedData, trainer: L.Trainer) -> Cost:
    """Start from stored states of the lower blocks, where these stay as they are."""
    if job.features is None:
        return Cost(0.0, 0.0)
    found = use_boundary(module.runs[0].model, data.data, trainer, job.features, module.pack)
    return found or Cost(0.0, 0.0)


def _try(module: PackedAdaptation, data: PackedData, trainer: L.Trainer) -> None:
    """Take a step of the pack and of its runs alone. Raises an error if they differ, or if nothing is gained."""
    data.trainer = trainer
    device = trainer.strategy.root_device
    module.to(device)
    batches = trainer.strategy.batch_to_device(next(iter(data.train_dataloader())))
    with trainer.precision_plugin.forward_context():
        length = next(iter(batches[0]["texts"][0].values())).shape[1]
        # of steps on tokens with all that ever trains, which is the most that they take
        tokens = [{name: values for name, values in batch.items() if name != STATES} for batch in batches]
        require_room(module.pack, tokens, max(1.0, float(data.data.encoded["train"].lengths.max()) / length))
        require_same(module.pack, batches, half="32" not in str(trainer.precision))
        with in_epoch(module.pack.models, 0):
            faster = gain(module.pack, batches)
    if faster < GAIN:
        raise ApartError(f"a step of {len(batches)} runs together is {faster:.2f} times as fast as their steps alone.")


def _predict(trainer: L.Trainer, module: PackedAdaptation, loaders: Sequence[ResumableLoader]) -> list[Predictions]:
    """Of each run, those of the splits that it is judged on."""
    trainer.datamodule = None  # type: ignore[attr-defined]  # it would read the test splits, which need not be there
    found: Any = trainer.predict(module, dataloaders=loaders) or []
    batches = [batch for item in found for batch in (item if isinstance(item[0], list) else [item])]
    return [collected(batch[run] for batch in batches) for run in range(len(module.runs))]


def _result(
    job: Job,
    at: int,
    module: PackedAdaptation,
    data: PackedData,
    trainer: L.Trainer,
    clock: PackClock,
    predictions: Predictions,
    times: Times,
) -> Result:
    """The record of one run; its clocks are a share of the pack's."""
    planned, others = job.cells[at], [cell.id for cell in job.cells if cell.id != job.cells[at].id]
    found = record(job, planned, "done")
    found["packed_with"] = others
    if at in module.ended:
        found["status"] = "diverged"
        found["reason"] = (
            f"DivergedError: {no_number(module.losses[module.ended[at] - 1][at].item(), module.ended[at])}"
        )
        return found, None
    measured, predictions = judged(module.runs[at].model, data.data, trainer, predictions, job.kept(planned))
    found.update(measured)  # type: ignore[typeddict-item]
    share = 1 / len(job.cells)
    prepare, evaluate = times.prepare * share, times.evaluate * share
    # stored states are one pass, paid once and counted in every run, as a probe's features are
    seconds = clock.seconds * share + times.states.seconds
    found["clocks"] = {
        "train_seconds": seconds,
        "train_cpu_seconds": clock.cpu_seconds * share + times.states.cpu_seconds,
        "feature_seconds": times.states.seconds,
        "prepare_seconds": prepare,
        "evaluate_seconds": evaluate,
        "total_seconds": seconds + prepare + evaluate,
        "steps": len(module.losses),
        "examples": clock.examples,
        "examples_per_second": clock.examples / max(seconds, 1e-9),
    }
    found["memory"] = {"train_peak_bytes": clock.peak_bytes, "kind": memory.kind(module.device)}
    found["history"] = module.history[at]
    return found, predictions

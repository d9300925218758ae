"""Cells of probes on stored features as one problem: one pass over the texts, one optimisation of all heads.

Cells that differ in layer, pooling, rate, penalty, settings of the optimiser or seed share data, backbone and loop.
Each gets the record that it would have alone, with `packed_with`, and a share of the time. What cannot go together
(another kind of optimiser, a head of a structure that no other has) is left to run alone.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lm_lab.benchmark.cells import another, built, silent
from lm_lab.benchmark.features import Cost, FeatureTable, stored
from lm_lab.benchmark.jobs import Job, Result, record
from lm_lab.benchmark.outcomes import collected, failure, judged
from lm_lab.benchmark.plan import PlannedCell
from lm_lab.benchmark.probe_runs import as_run, fit, history, kind, prepared, steps_of
from lm_lab.config.adapting import AdaptCLI
from lm_lab.config.imports import restrict
from lm_lab.data.encoding.texts import EncodedTexts
from lm_lab.heads.readout import TextReadout
from lm_lab.probing import stacked
from lm_lab.probing.stacked import Curves
from lm_lab.training.adaptation import Adaptation
from lm_lab.training.callbacks.watching import require_number
from lm_lab.training.converged import converges
from lm_lab.training.machine import memory


@dataclass(frozen=True)
class Member:
    """A cell that goes with others: its model, the state of random numbers after building it, what it reads."""

    planned: PlannedCell
    module: Adaptation
    state: Tensor
    tables: dict[str, FeatureTable]
    cost: Cost


@dataclass(frozen=True)
class Clock:
    """Wall and processor seconds since it was made."""

    wall: float
    processor: float

    @classmethod
    def start(cls) -> "Clock":
        """From now on."""
        return cls(time.perf_counter(), time.process_time())

    def read(self) -> Cost:
        """What has passed."""
        return Cost(time.perf_counter() - self.wall, time.process_time() - self.processor)


def run(job: Job) -> tuple[list[Result], list[PlannedCell]]:
    """Train and evaluate cells of one backbone and data together.

    Returns results, and the cells that have to run alone.
    """
    restrict(job.imports)
    started = Clock.start()
    with silent():
        cli = built(job.cells[0])
        groups = _groups(job, cli)
        building = started.read().seconds / max(1, sum(map(len, groups)))
        results = [found for group in groups for found in _run_group(job, cli, group, building)]
    memory.release()
    done = {found["id"] for found, _ in results}
    return results, [planned for planned in job.cells if planned.id not in done]


def _groups(job: Job, cli: AdaptCLI) -> list[list[Member]]:
    """Cells whose heads have one structure, two or more, with the features that they read."""
    examples = len(cli.datamodule.rows("train"))
    members = _models(job, cli)
    kinds = {each.planned.id: kind(each.module, cli.trainer, examples) for each in members}
    shared = [name for name, count in Counter(kinds.values()).items() if name is not None and count > 1]
    found = _with_features(job, cli, [each for each in members if kinds[each.planned.id] in shared])
    return [[each for each in found if kinds[each.planned.id] == name] for name in shared]


def _models(job: Job, cli: AdaptCLI) -> list[Member]:
    """A model for each cell around one backbone, as it is when it is built alone; none where that cannot be."""
    after, backbone, task = torch.get_rng_state(), cli.model.backbone, cli.datamodule.task
    for drawn in (False, True):  # does building the backbone draw random numbers, as for weights that are not there?
        modules = []
        for planned in job.cells:
            module = another(planned, backbone, task, drawn)
            modules.append(Member(planned, module, torch.get_rng_state(), {}, Cost(0.0, 0.0)))
            if len(modules) == 1 and not torch.equal(modules[0].state, after):
                break
        else:
            return modules
    return []


def _with_features(job: Job, cli: AdaptCLI, members: Sequence[Member]) -> list[Member]:
    """One pass over each split gives all that the members read."""
    if not members:
        return []
    assert job.features is not None
    data, models = cli.datamodule, [each.module.model for each in members]
    data.encode(("train", *data.evaluated))
    for split, encoded in data.encoded.items():
        assert isinstance(encoded, EncodedTexts)
        found = stored(models, encoded, data.eval_batch_size, cli.trainer, job.features)
        tables = {id(features): FeatureTable(features, encoded) for features, _ in found}
        members = [
            replace(
                each, tables=each.tables | {split: tables[id(values)]}, cost=cost if split == "train" else each.cost
            )
            for each, (values, cost) in zip(members, found, strict=True)
        ]
    return list(members)


def _run_group(job: Job, cli: AdaptCLI, members: Sequence[Member], building: float) -> list[Result]:
    device, clock = cli.trainer.strategy.root_device, Clock.start()
    memory.reset_peak(device)
    for each in members:
        each.module.model.head.to(device)
    steps, curves = _trained(cli, members)
    took, share = clock.read(), 1 / len(members)
    peak = {"train_peak_bytes": int(memory.peak_bytes(device) * share), "kind": memory.kind(device)}
    results = []
    for place, each in enumerate(members):
        found = record(job, each.planned, "failed")
        found["packed_with"] = [other.planned.id for other in members if other is not each]
        predictions = None
        try:
            examples = 0 if curves is None else _finished(curves, place)
            spent = Cost(took.seconds * share, took.cpu_seconds * share)
            measured, predictions = _measured(cli, each, spent, job.kept(each.planned))
            measured["clocks"] |= _counted(measured["clocks"], steps, examples, building)
            found.update(measured | {"memory": peak, "history": history(curves, place)})  # type: ignore[typeddict-item]
            found["status"] = "done"
        except Exception as error:
            failure(found, error)
        results.append((found, predictions))
    return results


def _trained(cli: AdaptCLI, members: Sequence[Member]) -> tuple[int, Curves | None]:
    """Fit the heads; how many steps each took, and their curves."""
    labels, trainer, data = members[0].tables["train"].encoded.labels, cli.trainer, cli.datamodule
    features = [each.tables["train"].features for each in members]
    if converges(members[0].module.model):
        fit([each.module.model for each in members], features, labels, trainer)
        return 0, None
    reading = prepared(list(zip(map(_head, members), features, strict=True)), trainer)
    runs = [
        as_run(each.planned, each.module, each.state, each.tables["train"], read, cli)
        for each, read in zip(members, reading, strict=True)
    ]
    steps, context = steps_of(trainer, data), trainer.precision_plugin.forward_context
    labels = labels.to(trainer.strategy.root_device)
    return steps, stacked.train(runs, labels, data.task.loss, steps, trainer.gradient_clip_val or None, context)


def _finished(curves: Curves, place: int) -> int:
    """How many examples a run took. Raises `DivergedError` where its loss became no number."""
    for step, loss in enumerate(curves.losses[:, place].tolist(), 1):
        require_number(loss, step)
    return int(curves.examples[place])


def _head(member: Member) -> TextReadout:
    head = member.module.model.head
    assert isinstance(head, TextReadout)
    return head


def _counted(clocks: dict[str, float], steps: int, examples: int, building: float) -> dict[str, float]:
    rate = examples / max(clocks["train_seconds"], 1e-9)
    return {"steps": steps, "examples": examples, "examples_per_second": rate, "prepare_seconds": building}


def _measured(cli: AdaptCLI, member: Member, spent: Cost, kept: Path | None) -> tuple[dict[str, Any], Any]:
    """What a trained member brings, and its predictions."""
    data, model, clock = cli.datamodule, member.module.model, Clock.start()
    predictions = collected(_judged_batches(member, cli, split) for split in data.evaluated)
    took = clock.read().seconds
    measured, predictions = judged(model, data, cli.trainer, predictions, kept)
    seconds = spent.seconds + member.cost.seconds
    clocks = {
        "train_seconds": seconds,
        "train_cpu_seconds": spent.cpu_seconds + member.cost.cpu_seconds,
        "feature_seconds": member.cost.seconds,
        "evaluate_seconds": took,
        "total_seconds": seconds + took,
    }
    return measured | {"clocks": clocks}, predictions


@torch.inference_mode()
def _judged_batches(member: Member, cli: AdaptCLI, split: str) -> dict[str, Any]:
    """A whole split as one judged batch."""
    table, model, device = member.tables[split], member.module.model.eval(), cli.trainer.strategy.root_device
    batch = table.collate(list(range(len(table))))
    features = batch["features"].to(device)
    with cli.trainer.precision_plugin.forward_context():
        values, labels = cli.datamodule.task.judge(model.head(features), batch | {"labels": batch["labels"].to(device)})
    return {"split": split, "ids": batch["ids"], "predictions": values, "labels": labels}

"""A results folder as a real suite leaves it: scores come from predictions, so every number can be recomputed."""

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lm_lab.metrics import METRICS
from lm_lab.results.coordinates import Cell
from lm_lab.results.predictions import Predictions
from lm_lab.results.records import SCHEMA, CellRecord, write_record

TASKS = {"cola": ["matthews"], "sst2": ["accuracy"], "mrpc": ["accuracy", "f1"], "stsb": ["pearson", "spearman"]}
EXAMPLES = {"cola": 1043, "sst2": 872, "mrpc": 408, "stsb": 1500}
SKILL = {"cola": 0.45, "sst2": 1.25, "mrpc": 1.0, "stsb": 1.1}
RATES = {"probe": (1e-3, 1e-2, 1e-1), "full": (2e-5, 5e-5, 1e-4), "partial": (2e-5, 5e-5, 1e-4)}
# strategy -> knob, size -> (trained in the backbone, added, skill against full)
STRATEGIES: dict[str, tuple[str | None, dict[int | None, tuple[int, int, float]]]] = {
    "probe": (None, {None: (0, 0, -0.55)}),
    "bitfit": (None, {None: (25_728, 0, -0.12)}),
    "partial": ("layers", {1: (1_774_464, 0, -0.22), 2: (3_548_928, 0, -0.07)}),
    "adapter": ("bottleneck", {8: (0, 39_216, -0.1), 32: (0, 150_000, -0.05), 128: (0, 593_000, -0.03)}),
    "lora": ("rank", {2: (0, 18_432, -0.09), 8: (0, 73_728, -0.04), 32: (0, 294_912, -0.01)}),
    "full": (None, {None: (17_360_256, 0, 0.0)}),
}
TOTAL = 17_360_256
CLASSES = {
    "probe": "LinearProbe",
    "bitfit": "BitFit",
    "partial": "PartialFineTuning",
    "adapter": "PfeifferAdapter",
    "lora": "LoRA",
    "full": "FullFineTuning",
}


def suite(seeds: int = 3) -> dict[str, Any]:
    sizes = sum(len(by_size) for _, by_size in STRATEGIES.values())
    per_point = 3 - 1 + seeds  # three learning rates on the first seed, the winner on the others
    return {
        "name": "glue_small",
        "description": "Six strategies on four tasks with a small encoder.",
        "seeds": list(range(seeds)),
        "backbones": {"minilm-l3": {}, "bert-random": {"control": True}},
        "tasks": {task: {} for task in TASKS},
        "strategies": {name: {"knob": knob} if knob else {} for name, (knob, _) in STRATEGIES.items()},
        "planned_cells": (sizes + 2) * len(TASKS) * per_point,
    }


def write_results(root: Path, seeds: int = 3) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "suite.json").write_text(json.dumps(suite(seeds)))
    for record, predictions in records(seeds):
        write_record(root, record, predictions)
    return root


def records(seeds: int = 3) -> Iterator[tuple[CellRecord, Predictions | None]]:
    for backbone in ("minilm-l3", "bert-random"):
        for strategy, (knob, by_size) in STRATEGIES.items():
            if backbone == "bert-random" and strategy not in ("probe", "full"):
                continue
            for size, (inside, added, skill) in by_size.items():
                for task in TASKS:
                    for rate, seed in _runs(strategy, seeds):
                        cell = _cell(backbone, strategy, knob, size, task, rate, seed)
                        yield _record(cell, inside, added, skill)


def at(record: Any) -> dict[str, Any]:
    """Where a record's cell stands: axis -> value."""
    return record["cell"]["coordinates"]


def pick(points: Any, strategy: str, task: str, size: int | None = None, control: bool = False) -> Any:
    (point,) = [
        p for p in points if (p.key["strategy"], p.task, p.key.size, p.control) == (strategy, task, size, control)
    ]
    return point


def placed(knob: str | None, size: Any, tuned: Any, seed: int, control: bool, **names: str) -> Cell:
    """A cell with these names on the axes task, backbone and strategy."""
    at = names | ({knob: size} if knob and size is not None else {})
    return Cell(coordinates=at, knob=knob, tuned=tuned, seed=seed, control=control)


def _runs(strategy: str, seeds: int) -> list[tuple[float, int]]:
    grid = RATES.get(strategy, (1e-4, 3e-4, 1e-3))
    return [(rate, 0) for rate in grid] + [(grid[1], seed) for seed in range(1, seeds)]


def _cell(backbone: str, strategy: str, knob: str | None, size: int | None, task: str, rate: float, seed: int) -> Any:
    return {
        "backbone": backbone,
        "strategy": strategy,
        "knob": knob,
        "size": size,
        "task": task,
        "tuned": {"learning_rate": rate},
        "seed": seed,
        "control": backbone == "bert-random",
    }


def _record(cell: Any, inside: int, added: int, skill: float) -> tuple[CellRecord, Predictions | None]:
    name = hashlib.sha256(json.dumps(cell, sort_keys=True).encode()).hexdigest()[:16]
    rate, rates = cell["tuned"]["learning_rate"], RATES.get(cell["strategy"], (1e-4, 3e-4, 1e-3))
    record: CellRecord = {"schema": SCHEMA, "id": name, "suite": "glue_small"}
    record |= {"cell": placed(**cell), "config": _config(cell)}
    record |= {"reason": None, "traceback": None, "started": "2026-03-01T10:00:00+00:00"}
    record |= {"command": "lm-lab bench run benchmarks/suites/glue_small.yaml --out results/glue_small"}
    record |= {"fingerprints": {"data": f"d{cell['task']}0f3", "weights": f"w{cell['backbone'][:4]}77"}}
    record |= {"versions": {"lm_lab": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0", "python": "3.11.9"}}
    record |= {"git": {"commit": "c17171a0", "dirty": False}}
    record |= {"hardware": {"cpu": "an 8-core CPU", "cores": 8, "threads": 4, "gpu": None, "memory_bytes": 16e9}}
    if cell["strategy"] == "full" and cell["task"] == "cola" and rate == rates[-1]:
        record |= {"status": "diverged", "reason": "loss became nan at step 41", "history": []}
        return record, None
    off = 0.0 if rate == rates[1] else 0.3
    start = -0.8 if cell["control"] else 0.0
    predictions = _predictions(cell, SKILL[cell["task"]] + skill + start - off)
    head = 770 if cell["task"] != "stsb" else 385
    trained = inside + added + head
    cost = 40 + 30 * math.log10(trained / 385) / 4.6
    record |= {
        "status": "done",
        "scores": {split: _scores(cell["task"], predictions, split) for split in ("validation", "selection")},
        "ledger": {
            "backbone_trained": inside,
            "added": added,
            "head": head,
            "trained": trained,
            "total": TOTAL + added + head,
            "delta_bytes": 4 * trained + 2048,
        },
        "clocks": {"train_seconds": cost, "train_cpu_seconds": 2 * cost, "evaluate_seconds": 4.0}
        | {"prepare_seconds": 2.0, "total_seconds": cost + 9, "steps": 313, "examples": 10_000}
        | {"examples_per_second": 10_000 / cost},
        "memory": {"train_peak_bytes": 7e8 + 12 * trained, "kind": "resident set"},
        "history": [{"step": s, "loss": 0.3 + 0.4 / (1 + s / 50), "learning_rate": rate} for s in range(10, 320, 10)],
    }
    record["score"] = {split: float(np.mean(list(v.values()))) for split, v in record["scores"].items()}
    return record, predictions


def _config(cell: Any) -> dict[str, Any]:
    return {
        "seed_everything": cell["seed"],
        "trainer": {"max_epochs": 3},
        "model": {
            "strategy": {"class_path": f"lm_lab.strategies.{CLASSES[cell['strategy']]}"},
            "learning_rate": cell["tuned"]["learning_rate"],
        },
        "data": {"task": cell["task"]},
    }


def _predictions(cell: Any, skill: float) -> Predictions:
    """Answers that are right when skill + the example's ease + the run's own noise is above zero."""
    parts = [_split(cell, skill, split, n) for split, n in _sizes(cell["task"])]
    return Predictions(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _sizes(task: str) -> list[tuple[str, int]]:
    return [("validation", EXAMPLES[task]), ("selection", 1000)]


def _split(cell: Any, skill: float, split: str, n: int) -> tuple[Any, ...]:
    examples = np.random.default_rng([len(split), len(cell["task"]), n])
    own = np.random.default_rng(int(hashlib.md5(f"{cell}{split}".encode()).hexdigest()[:8], 16))
    ease, run = examples.normal(size=n), own.normal(0, 0.02) + math.log1p(math.exp(4 * skill)) / 4
    if cell["task"] == "stsb":
        labels = examples.uniform(0, 5, n)
        predictions = np.clip(labels + own.normal(0, 0.4, n) + ease * (1.9 - run), 0, 5)
    else:
        labels = (examples.random(n) < 0.66).astype(float)
        right = run + ease + own.normal(0, 0.5, n) > 0
        predictions = np.where(right, labels, 1 - labels)
    return np.full(n, split), np.arange(n), predictions, labels


def _scores(task: str, predictions: Predictions, split: str) -> dict[str, float]:
    rows = predictions.split == split
    return {m: METRICS[m](predictions.prediction[rows], predictions.label[rows]) for m in TASKS[task]}

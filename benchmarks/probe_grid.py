"""A grid of probes as one problem, against the same cells one by one: processor seconds of each, written as JSON.

python benchmarks/probe_grid.py --backbone FOLDER --out benchmarks/results/probe_grid.json

The grid is 4 layers x 4 rates x 3 seeds of a linear probe on SST-2. Every cell by itself goes through a Trainer over
stored features, as cells do that are not grouped; with `--sample` so many of them do, and the rest is taken to be as
long as their mean (the JSON says so). Scores of the cells that ran in both ways are compared. `--direct` cells a round
go through a Trainer that runs the frozen backbone at every step, as without a store of features. With `--converged`
the grid has six penalties in place of rates, and takes no steps.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from safetensors import safe_open

from lm_lab import provenance
from lm_lab.atomic import replace_file
from lm_lab.benchmark import execute
from lm_lab.benchmark.fingerprints import cache_fingerprints
from lm_lab.benchmark.jobs import Job
from lm_lab.benchmark.plan import PlannedCell, make_plan
from lm_lab.benchmark.suite import Suite
from lm_lab.benchmark.suite_checks import check_suite

RATES = {"learning_rate": [3e-4, 1e-3, 3e-3, 1e-2]}
PENALTIES = {"model.strategy.init_args.penalty": [1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0]}


def main() -> None:
    """Measure and write."""
    asked = _options()
    cells = make_plan(_suite(asked), {}, cache_fingerprints()).cells
    with tempfile.TemporaryDirectory() as folder:
        _timed(cells[:2], folder)  # imports and caches are paid for
    rounds = [_round(cells, asked) for _ in range(asked.rounds)]
    found = {
        "settings": {name: value for name, value in vars(asked).items() if name not in ("out", "backbone")},
        "backbone": Path(asked.backbone).name,
        "cells": len(cells),
        "rounds": rounds,
        "ratios": {name: _spread([each["ratios"][name] for each in rounds]) for name in rounds[0]["ratios"]},
        "command": provenance.command(),
        "git": provenance.git_state(),
        "hardware": provenance.hardware(),
        "versions": provenance.versions(),
    }
    replace_file(Path(asked.out), (json.dumps(found, indent=1) + "\n").encode())
    print(json.dumps(found["ratios"], indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--sample", type=int, default=4, help="cells that run alone in each round")
    parser.add_argument("--direct", type=int, default=1, help="of these, cells that also run without stored features")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--converged", action="store_true")
    parser.add_argument("--accelerator", default="cpu")
    return parser.parse_args()


def _suite(asked: argparse.Namespace) -> Suite:
    data = {"train_limit": asked.rows, "holdout": 400, "batch_size": asked.batch}
    source: dict[str, Any] = {
        "name": "probe_grid",
        "seeds": [0, 1, 2],
        "selection_seeds": 3,
        "defaults": {
            "model": {"pooling": "mean"},
            "data": data,
            "trainer": {"max_epochs": asked.epochs, "accelerator": asked.accelerator, "precision": "32-true"},
        },
        "backbones": {"backbone": {"backbone": {"source": asked.backbone}}},
        "tasks": {"sst2": {"data": {"task": "sst2"}}},
        "strategies": {
            "probe": {
                "class_path": "LinearProbe",
                "knob": "at_layer",
                "sizes": [0, 1, 2, 3],
                "tune": PENALTIES if asked.converged else RATES,
            }
        },
    }
    check_suite(source, "probe_grid")
    return Suite(source)


def _round(cells: list[PlannedCell], asked: argparse.Namespace) -> dict[str, Any]:
    """The whole grid at once, and some of its cells one by one, as they come: spread over layers, rates and seeds."""
    some = cells[:: max(1, len(cells) // asked.sample)][: asked.sample]
    with tempfile.TemporaryDirectory() as folder:
        together = _timed(cells, folder)
        features = sum(_passes(Path(folder) / "features"))
        alone = [_timed([cell], folder) for cell in some]  # the features are there
    direct = [_timed([cell], None)["seconds"] for cell in some[: asked.direct]]
    each, at_once = [one["seconds"] for one in alone], together["seconds"]
    steps = [one["training"][0] for one in alone]
    separate = features * len({cell.cell["coordinates"]["at_layer"] for cell in cells}) + fmean(each) * len(cells)
    differ = [abs(together["scores"][cell.id] - one["scores"][cell.id]) for cell, one in zip(some, alone, strict=True)]
    name = "separate cells without stored features over the grid"
    again = {name: fmean(direct) * len(cells) / at_once} if direct else {}
    return {
        "grid_seconds": at_once,
        "feature_seconds": features,
        "training_seconds": sum(together["training"]),
        "alone_seconds": {"mean": fmean(each), "spread": stdev(each) if len(each) > 1 else 0.0, "cells": len(each)},
        "alone_training_seconds": fmean(steps),
        "largest_difference_of_scores": max(differ),
        "direct_seconds": direct,
        "ratios": {
            "grid over its feature pass": at_once / features,
            "separate cells over the grid, a pass a layer included": separate / at_once,
            "separate cells over the grid, features at hand": fmean(each) * len(cells) / (at_once - features),
            "training of separate cells over that of the grid": fmean(steps) * len(cells) / sum(together["training"]),
        }
        | again,
    }


def _timed(cells: list[PlannedCell], folder: str | None) -> dict[str, Any]:
    """Seconds of a job; of training in each cell, its share of the pass over the texts left out; scores."""
    started = time.process_time()
    store = None if folder is None else Path(folder) / "features"
    found = execute.run(Job(tuple(cells), "probe_grid", "probe_grid", features=store))
    seconds = time.process_time() - started
    bad = [record["reason"] for record, _ in found if record["status"] != "done"]
    if bad or (len(cells) > 1 and not all(record.get("packed_with") for record, _ in found)):
        raise SystemExit(f"a cell did not run as it should: {bad}")
    clocks = [record["clocks"] for record, _ in found]
    reading = max(_passes(store), default=0.0) if store else 0.0  # of the training set, the largest split
    training = [clock["train_cpu_seconds"] - reading for clock in clocks]
    scores = {record["id"]: record["score"]["validation"] for record, _ in found}
    return {"seconds": seconds, "training": training, "scores": scores}


def _passes(folder: Path) -> set[float]:
    """Processor seconds of the pass over each split: all layers of a split came of one, and say how long it took."""
    took = set()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            took.add(float(file.metadata()["cpu_seconds"]))
    return took


def _spread(values: list[float]) -> dict[str, float]:
    return {"mean": fmean(values), "lowest": min(values), "highest": max(values)}


if __name__ == "__main__":
    main()

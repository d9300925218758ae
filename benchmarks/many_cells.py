"""A suite of ten thousand cells with made predictions, and what planning, `bench status` and `bench report` take of it.

    python benchmarks/many_cells.py --out benchmarks/results/many_cells.json [--rates 5] [--folder FOLDER]

Scores are those of the predictions; histories are as long as a short run's. Seconds are of the processor, each command
in a process of its own, imports included; the least of the rounds.
"""

import argparse
import hashlib
import itertools
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from lm_lab import provenance
from lm_lab.metrics import METRICS
from lm_lab.results.predictions import Predictions
from lm_lab.results.records import SCHEMA, CellRecord, write_record

TASKS = {
    "cola": ("matthews", 1043), "sst2": ("accuracy", 872), "mrpc": ("accuracy", 408), "stsb": ("pearson", 1500),
    "rte": ("accuracy", 277), "wnli": ("accuracy", 71), "qnli": ("accuracy", 1500), "snli": ("accuracy", 1500),
}  # fmt: skip
BACKBONES = {"small": 11e6, "base": 110e6, "large": 330e6}
METHODS = {f"method-{number}": (2, 4, 8, 16) for number in range(11)} | {"probe": (), "full": ()}
SEEDS, STEPS = range(5), 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rates", type=int, default=5, help="learning rates on the first seed")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the suite is made, and kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = options.folder or Path(scratch) / "many"
        cells = sum(1 for _ in root.glob("cells/*.json")) or make(root, options.rates)
        files = sum(path.stat().st_size for path in root.rglob("*") if path.is_file() and "report" not in path.parts)
        seconds = {name: min(timed(name, root) for _ in range(options.rounds)) for name in ("status", "report")}
        page = (root / "report" / "index.html").stat().st_size
    found = {"cells": cells, "bytes of files": files, "processor seconds": seconds, "bytes of the page": page}
    print("\n".join(f"{name:20} {value}" for name, value in found.items()))
    record = {
        "command": provenance.command(), "git": provenance.git_state(), "hardware": provenance.hardware(),
        "versions": provenance.versions(), "measured": datetime.now(UTC).isoformat(timespec="seconds"), **found,
    }  # fmt: skip
    options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def timed(command: str, root: Path) -> float:
    """Seconds of the processor that a command takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = [sys.executable, "-m", "lm_lab", "bench", command, str(root)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2)


def make(root: Path, rates: int) -> int:
    """Write the suite's results; returns how many cells there are."""
    root.mkdir(parents=True, exist_ok=True)
    count = 0
    for record, predictions in records(rates):
        write_record(root, record, predictions)
        count += 1
    strategies = {name: {"knob": "size"} if sizes else {} for name, sizes in METHODS.items()}
    suite = {
        "name": "many", "description": "Made up.", "seeds": list(SEEDS), "planned_cells": count,
        "backbones": {name: {} for name in BACKBONES}, "tasks": {name: {} for name in TASKS}, "strategies": strategies,
    }  # fmt: skip
    (root / "suite.json").write_text(json.dumps(suite))
    return count


def records(rates: int) -> Iterator[tuple[CellRecord, Predictions]]:
    """Every rate with the first seed, the middle one with all."""
    tried = [10.0**-power for power in range(2, 2 + rates)]
    runs = [(rate, 0) for rate in tried] + [(tried[rates // 2], seed) for seed in SEEDS if seed]
    points = [(name, size) for name, sizes in METHODS.items() for size in sizes or (None,)]
    for task, backbone, (method, size), (rate, seed) in itertools.product(TASKS, BACKBONES, points, runs):
        at = {"task": task, "backbone": backbone, "strategy": method} | ({"size": size} if size else {})
        cell: Any = {"coordinates": at, "knob": "size" if size else None, "tuned": {"learning_rate": rate}}
        cell |= {"seed": seed, "control": False}
        yield made(cell, tried.index(rate) - rates // 2)


def made(cell: Any, off: int) -> tuple[CellRecord, Predictions]:
    """A cell whose predictions are the better the nearer its rate is to the middle one."""
    name = hashlib.sha256(json.dumps(cell, sort_keys=True).encode()).hexdigest()[:16]
    rng = np.random.default_rng(int(name, 16))
    task, size = cell["coordinates"]["task"], cell["coordinates"].get("size", 1)
    metric, examples = TASKS[task]
    parts = {split: guessed(task, split, count, 1.0 - 0.2 * abs(off) + 0.01 * size, rng)
             for split, count in (("validation", examples), ("selection", 500))}  # fmt: skip
    scores = {split: {metric: float(METRICS[metric](*guess))} for split, guess in parts.items()}
    trained, total = 10_000 * size, int(BACKBONES[cell["coordinates"]["backbone"]])
    history = [{"step": 10 * step, "loss": float(rng.random()), "learning_rate": 1e-3} for step in range(STEPS)]
    record: Any = {
        "schema": SCHEMA, "id": name, "suite": "many", "status": "done", "reason": None, "traceback": None,
        "cell": cell, "config": {"model": {"learning_rate": cell["tuned"]["learning_rate"]}, "data": {"task": task}},
        "fingerprints": {"data": task, "weights": cell["coordinates"]["backbone"]}, "scores": scores, "details": {},
        "score": {split: values[metric] for split, values in scores.items()}, "history": history,
        "ledger": {"trained": trained, "head": 1_538, "total": total, "delta_bytes": 4 * trained,
                   "backbone_trained": 0, "added": trained - 1_538},
        "clocks": {"train_seconds": 10.0 + size, "train_cpu_seconds": 10.0 + size, "total_seconds": 15.0, "steps": 400},
        "memory": {"train_peak_bytes": 10**9, "kind": "resident set"}, "versions": provenance.versions(),
        "git": {"commit": "0" * 40, "dirty": False}, "hardware": {"cpu": "made up", "cores": 1, "threads": 1},
        "started": "2026-01-01T00:00:00+00:00", "command": "benchmarks/many_cells.py",
    }  # fmt: skip
    columns = zip(*((np.full(len(a), split), np.arange(len(a)), a, b) for split, (a, b) in parts.items()), strict=True)
    splits, ids, predictions, labels = (np.concatenate(column) for column in columns)
    return record, Predictions(split=splits, id=ids, prediction=predictions, label=labels)


def guessed(task: str, split: str, count: int, skill: float, rng: Any) -> tuple[Any, Any]:
    """Predictions and labels; the labels are the same for all cells of a task."""
    truth = np.random.default_rng(list(f"{task} {split}".encode())).normal(size=count)
    guess = skill * truth + rng.normal(size=count)
    return (guess, truth) if task == "stsb" else ((guess > 0) * 1.0, (truth > 0) * 1.0)


if __name__ == "__main__":
    main()

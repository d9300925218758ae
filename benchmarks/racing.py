"""Races beside the whole grid: how often the winner is given up, and what is saved.

    LM_LAB_DATA=../shared/data python benchmarks/racing.py --out benchmarks/results/racing.json

Every tuned value of every (task, method, seed) trains a share of its steps and then, in a run of its own, to the end.
A race with one seed is then held on the records; the winner of the whole grid is the best on the held-out examples at
the end. `--tiny` runs it in seconds.
"""

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from lm_lab import provenance
from lm_lab.benchmark import execute
from lm_lab.benchmark.fingerprints import cache_fingerprints
from lm_lab.benchmark.jobs import Job
from lm_lab.benchmark.plan import Planner
from lm_lab.benchmark.racing import PValue, go_on, paired_p_value
from lm_lab.benchmark.suite import Suite
from lm_lab.cli import exit_code
from lm_lab.results.coordinates import coordinates
from lm_lab.results.records import CellRecord, write_record
from lm_lab.results.selection import candidates, choose

RATES = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]
METHODS: dict[str, tuple[str, dict[str, Any], list[float]]] = {
    "lora": ("LoRA", {"rank": 8}, RATES),
    "adapter": ("HoulsbyAdapter", {"size": 32}, RATES),
    "bitfit": ("BitFit", {}, RATES),
    "full": ("FullFineTuning", {}, [1e-5, 3e-5, 1e-4, 3e-4, 1e-3]),
}


def suite(options: argparse.Namespace) -> Suite:
    """The grid, as a suite with a race."""
    seeds = [0] if options.tiny else [0, 1, 2]
    few = {"train_limit": 64, "validation_limit": 20, "holdout": 20}
    some = {"train_limit": 640, "validation_limit": 200, "holdout": options.holdout}
    data = {"batch_size": 16, "max_length": 64} | (few if options.tiny else some)
    trainer = {"max_epochs": 2, "gradient_clip_val": 1.0, "accelerator": "cpu", "precision": "32-true"}
    return Suite(
        {
            "name": "racing",
            "seeds": seeds,
            "selection_seeds": len(seeds),
            "race": options.share,
            "defaults": {"model": {"pooling": "mean"}, "data": data, "trainer": trainer},
            "backbones": {"encoder": {"backbone": {"source": options.source}}},
            "tasks": {task: {"data": {"task": task, "source": options.data}} for task in options.tasks},
            "strategies": {
                name: {"class_path": path, "init_args": arguments, "tune": {"learning_rate": rates}}
                for name, (path, arguments, rates) in METHODS.items()
            },
        }
    )


def run(grid: Suite, root: Path) -> list[CellRecord]:
    """All of the grid, since without p-values no value is given up."""
    planner, records, template = Planner(grid, cache_fingerprints()), dict[str, CellRecord](), Job((), grid.name, "")
    while waiting := [planned for planned in planner(records).cells if planned.id not in records]:
        for planned in waiting:
            for record, predictions in execute.run(template.of([planned])):
                write_record(root, record, predictions)
                records[record["id"]] = record
    return list(records.values())


def races(records: Sequence[CellRecord], root: Path) -> list[dict[str, Any]]:
    """One for each task, method and seed."""
    groups: dict[Any, list[CellRecord]] = defaultdict(list)
    for record in records:
        groups[coordinates(record["cell"]).label, record["cell"]["seed"]].append(record)
    p_value = paired_p_value(root)
    return [_race(label, seed, group, p_value) for (label, seed), group in groups.items()]


def _race(label: str, seed: int, group: Sequence[CellRecord], p_value: PValue) -> dict[str, Any]:
    short = [record for record in group if "race" in record["cell"]]
    whole = {record["cell"]["tuned"]["learning_rate"]: record for record in group if "race" not in record["cell"]}
    kept = [tuned["learning_rate"] for tuned in go_on(short, p_value)]
    runs = {"full grid": list(whole.values()), "race": [whole[rate] for rate in kept]}
    chosen = {name: choose(candidates(group)) for name, group in runs.items()}
    rates = {name: winner.tuned["learning_rate"] for name, winner in chosen.items() if winner}
    steps = {name: sum(r["clocks"].get("steps", 0) for r in group) for name, group in runs.items()}
    steps["race"] += sum(r["clocks"].get("steps", 0) for r in short)
    scores = {name: whole[rate]["score"]["validation"] for name, rate in rates.items()}
    return {"race": label, "seed": seed, "kept": kept, "winner": rates, "steps": steps, "validation": scores}


def main() -> None:
    """Run the grid, hold the races, write and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="the record (JSON)")
    parser.add_argument("--source", default="sentence-transformers/paraphrase-MiniLM-L3-v2")
    parser.add_argument("--data", help="`microworld` for made sentences; by default LM_LAB_DATA has them")
    parser.add_argument("--tasks", nargs="+", default=["sst2", "mrpc", "cola"])
    parser.add_argument("--share", type=float, default=0.25)
    parser.add_argument("--holdout", type=int, default=200)
    parser.add_argument("--tiny", action="store_true", help="few of everything: a test")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = races(run(suite(options), Path(folder)), Path(folder))
    names = ("full grid", "race")
    summary = {
        "races": len(found),
        "winner kept": sum(race["winner"]["race"] == race["winner"]["full grid"] for race in found),
        "validation": {name: fmean(race["validation"][name] for race in found) for name in names},
        "steps": {name: sum(race["steps"][name] for race in found) for name in names},
    }
    print(json.dumps(summary, indent=1))
    if options.out:
        about = {"command": provenance.command(), "git": provenance.git_state(), "hardware": provenance.hardware()}
        about |= {"versions": provenance.versions(), "share": options.share, "holdout": options.holdout}
        options.out.write_text(json.dumps({**about, **summary, "each": found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(exit_code(main))

"""Training from stored hidden states, against the same from tokens: seconds of training, interleaved.

python benchmarks/boundaries.py --backbone FOLDER --out benchmarks/results/boundaries.json

By default the top block trains; `--strategy '{"class_path": "GradualUnfreezing"}'` names another way. A configuration
(`.json`) has random weights, and takes the `--tokenizer` of a folder.
"""

import argparse
import json
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

from lm_lab import provenance
from lm_lab.atomic import replace_file
from lm_lab.benchmark import execute
from lm_lab.benchmark.fingerprints import cache_fingerprints
from lm_lab.benchmark.jobs import Job
from lm_lab.benchmark.plan import PlannedCell, make_plan
from lm_lab.benchmark.suite import Suite
from lm_lab.benchmark.suite_checks import check_suite


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=1)
    parser.add_argument("--strategy", type=json.loads, default=None)
    parser.add_argument("--tokenizer", default=None)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    (cell,) = make_plan(_suite(asked), {}, cache_fingerprints()).cells
    rounds = [_round(cell) for _ in range(asked.rounds)]
    names = ("ratio", "ratio_states_at_hand")
    found = {
        "settings": {
            name: value for name, value in vars(asked).items() if name not in ("out", "backbone", "tokenizer")
        },
        "backbone": Path(asked.backbone).name,
        "rounds": rounds,
        **{name: {"mean": fmean(own), "lowest": min(own), "highest": max(own)} for name, own in _ratios(rounds, names)},
        "command": provenance.command(),
        "git": provenance.git_state(),
        "hardware": provenance.hardware(),
        "versions": provenance.versions(),
    }
    replace_file(Path(asked.out), (json.dumps(found, indent=1) + "\n").encode())
    print(json.dumps({name: found[name] for name in names}, indent=1))


def _ratios(rounds: list[dict[str, float]], names: tuple[str, ...]) -> list[tuple[str, list[float]]]:
    return [(name, [each[name] for each in rounds]) for name in names]


def _suite(asked: argparse.Namespace) -> Suite:
    drawn = {"pretrained": False, "tokenizer": asked.tokenizer} if asked.tokenizer else {}
    backbone = {"source": asked.backbone} | drawn
    partial = {"class_path": "PartialFineTuning", "init_args": {"blocks": asked.blocks}}
    source: dict[str, Any] = {
        "name": "boundaries",
        "defaults": {
            "data": {"train_limit": asked.rows, "holdout": 400, "batch_size": 32},
            "trainer": {"max_epochs": asked.epochs, "accelerator": "cpu", "precision": "32-true"},
        },
        "backbones": {"backbone": {"backbone": backbone, "model": {"pooling": "mean"}}},
        "tasks": {"sst2": {"data": {"task": "sst2"}}},
        "strategies": {"own": asked.strategy or partial},
    }
    check_suite(source, "boundaries")
    return Suite(source)


def _round(cell: PlannedCell) -> dict[str, float]:
    """Processor seconds of training: from tokens, then from states; the pass that stores them counts, and is told."""
    tokens, score = _run(cell, None)
    with tempfile.TemporaryDirectory() as folder:
        states, same = _run(cell, Path(folder))
    if states["feature_seconds"] == 0:
        raise SystemExit("the run did not start from stored states")
    share = states["train_cpu_seconds"] * states["feature_seconds"] / states["train_seconds"]
    return {
        "tokens_seconds": tokens["train_cpu_seconds"],
        "states_seconds": states["train_cpu_seconds"],
        "pass_seconds": share,
        "ratio": tokens["train_cpu_seconds"] / states["train_cpu_seconds"],
        "ratio_states_at_hand": tokens["train_cpu_seconds"] / (states["train_cpu_seconds"] - share),
        "difference_of_scores": same - score,
    }


def _run(cell: PlannedCell, store: Path | None) -> tuple[dict[str, float], float]:
    ((record, _),) = execute.run(Job((cell,), "boundaries", "boundaries", features=store))
    if record["status"] != "done":
        raise SystemExit(record["reason"])
    return record["clocks"], record["score"]["validation"]


if __name__ == "__main__":
    main()

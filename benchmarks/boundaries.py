"""Training from stored hidden states, against the same from tokens: seconds of the processor in training, interleaved.

    python benchmarks/boundaries.py --backbone FOLDER --out benchmarks/results/boundaries.json [--cases "top block" ...]

Each case adapts the folder's model, or a small one with random weights and the folder's tokenizer. The pass that stores
the states counts, and is told apart: a suite pays it once for all its runs with the same boundary.
"""

import argparse
import json
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from unittest.mock import patch

from transformers import AutoTokenizer

from lm_lab import provenance
from lm_lab.atomic import replace_file
from lm_lab.backbones import TransformersBackbone
from lm_lab.benchmark import execute, packed_cells
from lm_lab.benchmark.fingerprints import cache_fingerprints
from lm_lab.benchmark.jobs import Job
from lm_lab.benchmark.plan import PlannedCell, make_plan
from lm_lab.benchmark.suite import Suite
from lm_lab.benchmark.suite_checks import check_suite

SMALL = "configs/backbones/microworld_{}"
RATIOS = ("ratio", "ratio_states_at_hand")


class Case(NamedTuple):
    """A strategy, settings that name a block counted from the top, how many runs go together, and on what model."""

    strategy: str
    settings: dict[str, int]
    runs: int = 1
    small: str = ""


CASES = {
    "top block": Case("PartialFineTuning", {"blocks": 1}),
    "LoRA in the top block": Case("LoRA", {"skip": -1}),
    "adapter in the top block": Case("PfeifferAdapter", {"skip": -1}),
    "gradual unfreezing": Case("GradualUnfreezing", {}),
    "top block of a small BERT": Case("PartialFineTuning", {"blocks": 1}, small="bert"),
    "the same, a pack of four": Case("PartialFineTuning", {"blocks": 1}, runs=4, small="bert"),
    "decoder of a small T5": Case("PartialFineTuning", {"blocks": 1}, small="t5"),
}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    cases = {name: _measured(CASES[name], asked) for name in asked.cases}
    found = {
        "settings": {"rows": asked.rows, "epochs": asked.epochs, "backbone": Path(asked.backbone).name},
        "cases": cases,
        "command": provenance.command(),
        "git": provenance.git_state(),
        "hardware": provenance.hardware(),
        "versions": provenance.versions(),
    }
    replace_file(Path(asked.out), (json.dumps(found, indent=1) + "\n").encode())
    for name, case in cases.items():
        print(name, *(f"{ratio} {case[ratio]['median']:.2f}" for ratio in RATIOS), sep="; ")


def _measured(case: Case, asked: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        source = _drawn(case.small, asked.backbone, folder) if case.small else asked.backbone
        cells = tuple(make_plan(_suite(case, source, asked), {}, cache_fingerprints()).cells)
        rounds = [_round(cells) for _ in range(asked.rounds)]
    found: dict[str, Any] = {"case": case._asdict(), "rounds": rounds}
    for name in RATIOS:
        values = [each[name] for each in rounds]
        found[name] = {"median": median(values), "lowest": min(values), "highest": max(values)}
    return found


def _drawn(small: str, tokenizer: str, folder: str) -> str:
    """A folder with random weights, which the runs of a pack share as they share pretrained ones."""
    backbone = TransformersBackbone(SMALL.format(small), pretrained=False, tokenizer=tokenizer)
    backbone.model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)
    return folder


def _suite(case: Case, source: str, asked: argparse.Namespace) -> Suite:
    layers = TransformersBackbone(source).num_layers
    settings = {name: value % layers for name, value in case.settings.items()}
    suite: dict[str, Any] = {
        "name": "boundaries",
        "defaults": {
            "data": {"train_limit": asked.rows, "holdout": 400, "batch_size": 32, "max_length": 32},
            "trainer": {"max_epochs": asked.epochs, "accelerator": "cpu", "precision": "32-true"},
        },
        "backbones": {"backbone": {"backbone": {"source": source}, "model": {"pooling": "mean"}}},
        "tasks": {"sst2": {"data": {"task": "sst2"}}},
        "strategies": {"own": {"class_path": case.strategy, "init_args": settings}},
        "seeds": list(range(case.runs)),
    }
    check_suite(suite, "boundaries")
    return Suite(suite)


def _round(cells: tuple[PlannedCell, ...]) -> dict[str, float]:
    """Processor seconds of training: from tokens, then from states."""
    tokens, score = _run(cells, None)
    with tempfile.TemporaryDirectory() as folder:
        states, same = _run(cells, Path(folder))
    if states["feature_seconds"] == 0:
        raise SystemExit("the run did not start from stored states")
    # a pack's runs each count the pass, which it took once
    share = states["train_cpu_seconds"] * states["feature_seconds"] / states["train_seconds"]
    own = len(cells) * (states["train_cpu_seconds"] - share)
    plain = len(cells) * tokens["train_cpu_seconds"]
    return {
        "tokens_seconds": plain,
        "states_seconds": own + share,
        "pass_seconds": share,
        "ratio": plain / (own + share),
        "ratio_states_at_hand": plain / own,
        "difference_of_scores": same - score,
    }


def _run(cells: tuple[PlannedCell, ...], store: Path | None) -> tuple[dict[str, float], float]:
    """The clocks of a run, alone or as one of a pack, and its score."""
    job = Job(cells, "boundaries", "boundaries", features=store)
    with patch.object(packed_cells, "SMALL", float("inf")), patch.object(packed_cells, "GAIN", 0.0):
        record, _ = (packed_cells.run if len(cells) > 1 else execute.run)(job)[0]
    if record["status"] != "done":
        raise SystemExit(record["reason"])
    return record["clocks"], record["score"]["validation"]


if __name__ == "__main__":
    main()

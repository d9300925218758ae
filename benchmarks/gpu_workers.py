"""How many cells one GPU should train at once: what the default of `lm-lab bench run --workers` there rests on.

    LM_LAB_DATA=../shared/data python benchmarks/gpu_workers.py --out benchmarks/results/gpu_workers.json

For each number of workers, `bench run` trains four cells a worker: full fine-tuning and LoRA of BERT-base with random
weights on SST-2, batches of 32. `cells_per_minute` counts from the moment each worker has ended its first cell, so that
starting the processes is left out; `seconds` is all of it.
"""

import argparse
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from transformers import BertConfig

from lm_lab import provenance
from lm_lab.cli import exit_code

ROUNDS = 4


def suite(backbone: Path, tokenizer: str, rows: int, cells: int) -> dict[str, Any]:
    """Half of the cells are full fine-tuning, half LoRA; a seed each."""
    return {
        "name": "gpu_workers",
        "description": "Cells to time.",
        "seeds": list(range(cells // 2)),
        "defaults": {
            "model": {"pooling": "mean"},
            "data": {"train_limit": rows, "validation_limit": 200, "batch_size": 32, "max_length": 128},
            "trainer": {"precision": "bf16-mixed", "max_epochs": 1, "gradient_clip_val": 1.0},
        },
        "backbones": {"random": {"backbone": {"source": str(backbone), "tokenizer": tokenizer}}},
        "tasks": {"sst2": {"data": {"task": "sst2"}}},
        "strategies": {
            "full": {"class_path": "FullFineTuning", "tune": {"learning_rate": [2.0e-5]}},
            "lora": {"class_path": "LoRA", "init_args": {"rank": 8}, "tune": {"learning_rate": [1.0e-3]}},
        },
    }


def measure(folder: Path, planned: dict[str, Any], workers: int) -> dict[str, Any]:
    """Run a suite; what it took."""
    folder.mkdir(parents=True)
    (folder / "suite.yaml").write_text(yaml.safe_dump(planned), encoding="utf-8")
    out = folder / "results"
    command = [sys.executable, "-m", "lm_lab", "bench", "run", str(folder / "suite.yaml"), "--out", str(out)]
    started = time.perf_counter()
    subprocess.run([*command, "--workers", str(workers), "--wandb", "disabled"], check=True)
    seconds = time.perf_counter() - started
    ended = sorted(path.stat().st_mtime for path in (out / "cells").glob("*.json"))
    records = [json.loads(path.read_text(encoding="utf-8")) for path in (out / "cells").glob("*.json")]
    return {
        "workers": workers,
        "cells": len(ended),
        "seconds": round(seconds, 1),
        "cells_per_minute": round(60 * (len(ended) - workers) / (ended[-1] - ended[workers - 1]), 2),
        "train_seconds_a_cell": round(sum(record["clocks"]["train_seconds"] for record in records) / len(records), 2),
        "train_peak_bytes": max(record["memory"]["train_peak_bytes"] for record in records),
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", default="sentence-transformers/paraphrase-MiniLM-L3-v2")
    parser.add_argument("--layers", type=int, default=12, help="of BERT, 768 wide")
    parser.add_argument("--rows", type=int, default=4800)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8, 12])
    parser.add_argument("--work", type=Path, default=Path("runs/gpu_workers"), help="folder of the runs")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    BertConfig(num_hidden_layers=options.layers).save_pretrained(options.work / "backbone")
    rows = []
    for workers in options.workers:
        planned = suite(options.work / "backbone", options.tokenizer, options.rows, ROUNDS * workers)
        rows.append(measure(options.work / f"{workers}", planned, workers))
        print(json.dumps(rows[-1]), flush=True)
        if options.out:
            options.out.write_text(json.dumps(_facts(options) | {"rows": rows}, indent=1) + "\n", encoding="utf-8")


def _facts(options: argparse.Namespace) -> dict[str, Any]:
    return {
        **provenance.in_words(),
        "layers": options.layers,
        "rows_of_training": options.rows,
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
    }


if __name__ == "__main__":
    sys.exit(exit_code(main))

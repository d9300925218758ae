"""Pretrain one backbone an objective, all on one corpus with one budget of tokens, for benchmarks/objectives.yaml.

    python benchmarks/objectives.py
    lm-lab bench run benchmarks/objectives.yaml --out runs/objectives/results

Each is the configuration of its name in configs/pretraining, but for the corpus (37,000 documents of the microworld)
and the number of steps: all read as many tokens as masked words read in five epochs. What is in runs/objectives
already is not trained again.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from lm_lab.commands import pretrain
from lm_lab.commands.lightning_cli import quiet

OUT = Path("runs/objectives")
REFERENCE, EPOCHS = "mlm", 5
NAMES = (
    "mlm", "ngram", "entity", "span", "spanbert", "bert_nsp", "albert", "structbert", "electra", "unilm",
    "causal_lm", "xlnet", "transformer_xl", "span_corruption", "prefix_lm", "bert_style", "deshuffling", "mass_style",
    "replace_spans", "drop_tokens", "bart", "mass",
)  # fmt: skip


@dataclass(frozen=True)
class Epoch:
    """What one pass over the corpus is to an objective, whose rows may be documents, pairs or pieces."""

    batches: int
    tokens: int


def options(name: str) -> list[str]:
    """What all have in common, and the configuration of one."""
    shared = ["--data.documents=37000", "--trainer.check_val_every_n_epoch=null", "--trainer.enable_progress_bar=false"]
    return [f"--config=configs/pretraining/microworld_{name}.yaml", *shared, f"--save.output={OUT / name}"]


def epoch(name: str) -> Epoch:
    """Batches and tokens of an epoch, padding left out."""
    with quiet():
        run = pretrain.build(options(name), run=False)
    run.datamodule.trainer = SimpleNamespace(lightning_module=run.model, global_rank=0, world_size=1)
    run.datamodule.setup("fit")
    sizes = [int(batch["attention_mask"].sum()) for batch in run.datamodule.train_dataloader()]
    return Epoch(len(sizes), sum(sizes))


def fit(name: str, steps: int, threads: int) -> str:
    """Pretrain in a process of its own; return what it printed last."""
    words = [*options(name), f"--trainer.max_steps={steps}", "--trainer.max_epochs=-1"]
    command = [sys.executable, "-m", "lm_lab", "pretrain", "fit", *words, f"--trainer.val_check_interval={steps}"]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed, exit {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def main() -> None:
    """Pretrain what is missing, `--workers` at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, help="some of the objectives")
    parser.add_argument("--epochs", type=float, default=EPOCHS, help="of the reference, which give the budget")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    chosen = parser.parse_args()
    budget = chosen.epochs * epoch(REFERENCE).tokens
    missing = [name for name in chosen.only if not (OUT / name / "config.json").exists()]
    threads = max(1, (os.cpu_count() or 1) // chosen.workers)

    def run(name: str) -> None:
        steps = plan[name]
        print(f"{name}: {steps} steps, {fit(name, steps, threads)}", flush=True)

    plan = {name: _steps(epoch(name), budget) for name in missing}
    with ThreadPoolExecutor(chosen.workers) as pool:
        list(pool.map(run, missing))
    (OUT / "budget.json").write_text(json.dumps({"tokens": int(budget), "steps": plan}, indent=1) + "\n")


def _steps(of: Epoch, budget: float) -> int:
    return max(1, round(budget / of.tokens * of.batches))


if __name__ == "__main__":
    main()

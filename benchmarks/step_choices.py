"""What a step could leave out, and what another optimiser gains: prints rows and writes one record.

    LM_LAB_DATA=../shared/data python benchmarks/step_choices.py --out benchmarks/results/step_choices.json

- padding: share of a batch's positions that are padding, by the task, batches of similar length or drawn at random.
- embeddings: a step of full fine-tuning with the table of tokens dense under AdamW, sparse under (lazy) SparseAdam, or
  frozen; forward, backward, clipping of what is dense, update; the ways in turn at each batch.
- muon: masked language modelling on the microworld, AdamW and Muon at equal steps: each rate with seed 0, the best one
  of either with seed 1 too; loss on held-out text, and milliseconds a step with the loop around it.

fp32; milliseconds of the processor. `--tiny` runs all of it in seconds.
"""

import argparse
import json
import time
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import lightning as L
import torch
from torch import nn

from lm_lab import GLUE, AdaptedModel, TransformersBackbone, bind, provenance
from lm_lab.commands import pretrain
from lm_lab.config.imports import restrict
from lm_lab.config.lightning_cli import quiet
from lm_lab.data.batching import LengthGroupedBatches
from lm_lab.strategies import FullFineTuning, PartialFineTuning
from lm_lab.training.optimizers import AdamW

SOURCE = "sentence-transformers/paraphrase-MiniLM-L3-v2"
TASKS, ROWS, BATCH = ("sst2", "mrpc", "rte"), (480, 6400), 32
RATES = {"AdamW": (2e-3, 4e-3, 8e-3), "Muon": (2e-3, 4e-3, 8e-3)}
CLASSES = {"AdamW": "lm_lab.training.optimizers.AdamW", "Muon": "lm_lab.training.muon.Muon"}
TABLES = ("dense", "sparse", "frozen")


def padding(task: str, limit: int) -> dict[str, Any]:
    """Shares of padding in one epoch."""
    model, data = AdaptedModel(TransformersBackbone(SOURCE), PartialFineTuning(1), GLUE(task).task), GLUE(task)
    data.train_limit = limit
    bind(model, data)
    data.encode(["train"])
    lengths = data.encoded["train"].lengths
    alike = list(LengthGroupedBatches(lengths, BATCH))
    drawn = torch.randperm(len(lengths), generator=torch.Generator().manual_seed(0)).split(BATCH)
    shares = [1 - lengths.sum() / sum(len(b) * lengths[list(b)].max() for b in batches) for batches in (alike, drawn)]
    found = {name: round(float(share), 3) for name, share in zip(("similar length", "at random"), shares, strict=True)}
    return {"part": "padding", "task": task, "rows": len(lengths), "tokens a text": round(lengths.mean(), 1)} | found


class Table:
    """A model that is trained with its table of tokens one of three ways."""

    def __init__(self, way: str) -> None:
        torch.manual_seed(0)
        backbone = TransformersBackbone(SOURCE)
        strategy = PartialFineTuning(backbone.num_layers) if way == "frozen" else FullFineTuning()
        self.model = AdaptedModel(backbone, strategy, GLUE("sst2").task, pooling="mean").train()
        backbone.embeddings.sparse = way == "sparse"  # type: ignore[assignment]
        table = backbone.embeddings.get_parameter("weight")
        self.dense = [p for p in self.model.parameters() if p.requires_grad and not (way == "sparse" and p is table)]
        self.optimizers: list[torch.optim.Optimizer] = [AdamW(self.dense, 1e-5)]
        if way == "sparse":
            self.optimizers.append(torch.optim.SparseAdam([table], 1e-5))

    def step(self, batch: dict[str, Any]) -> float:
        """Milliseconds of one."""
        started = time.process_time()
        self.model.loss(batch).backward()
        nn.utils.clip_grad_norm_(self.dense, 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return 1000 * (time.process_time() - started)


def embeddings(steps: int) -> list[dict[str, Any]]:
    """A row for each way: median of all steps but the first two, and of its ratio to dense."""
    tables = {way: Table(way) for way in TABLES}
    data = GLUE("sst2", train_limit=32 * steps)
    bind(tables["dense"].model, data)
    data.encode(["train"])
    times = [{way: tables[way].step(batch) for way in TABLES} for batch in islice(data.train_dataloader(), steps)][2:]
    rows = []
    for way in TABLES:
        ratios = sorted(row[way] / row["dense"] for row in times)
        least, most = ratios[len(ratios) // 10], ratios[-1 - len(ratios) // 10]
        milliseconds = round(median(row[way] for row in times), 1)
        spread = [round(value, 2) for value in (median(ratios), least, most)]
        rows.append({"part": "embeddings", "table": way, "ms": milliseconds, "of dense (median, 10%, 90%)": spread})
    return rows


class Clock(L.Callback):
    """Milliseconds of the processor between the ends of two steps."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        """Note the time."""
        self.ends.append(1000 * time.process_time())


def pretrained(name: str, rate: float, seed: int, steps: int) -> dict[str, Any]:
    """One run of masked language modelling, and its loss on held-out text."""
    clock = Clock()
    config = {
        "seed_everything": seed,
        "model": {
            "backbone": {"source": "configs/backbones/microworld_bert"},
            "objective": {"class_path": "lm_lab.objectives.MaskedLM", "init_args": {"probability": 0.25}},
            "optimizer": {"class_path": CLASSES[name], "init_args": {"betas": [0.9, 0.98]}},
            "learning_rate": rate,
        },
        "data": {"source": "microworld", "batch_size": 128, "max_length": 64, "documents": 12000},
        "trainer": {
            "accelerator": "cpu", "precision": "32-true", "max_steps": steps, "max_epochs": -1, "logger": False,
            "val_check_interval": steps, "check_val_every_n_epoch": None, "limit_val_batches": 8,
            "num_sanity_val_steps": 0, "enable_checkpointing": False, "enable_progress_bar": False,
            "enable_model_summary": False,
        },
    }  # fmt: skip
    with quiet():
        cli = pretrain.build(config, run=False)
        trainer: Any = cli.trainer
        trainer.callbacks = [c for c in trainer.callbacks if type(c).__name__ != "SaveBackbone"] + [clock]
        trainer.fit(cli.model, cli.datamodule)
    loss = float(trainer.callback_metrics["val/loss"])
    ms = (clock.ends[-2] - clock.ends[1]) / (len(clock.ends) - 3)
    row = {"part": "muon", "optimizer": name, "rate": rate, "seed": seed, "steps": steps}
    return row | {"val loss": round(loss, 4), "ms a step": round(ms, 1)}


def muon(steps: int) -> list[dict[str, Any]]:
    """A row for each run, the two optimisers in turn."""
    rows = [pretrained(name, RATES[name][i], 0, steps) for i in range(len(RATES["AdamW"])) for name in RATES]
    for name in RATES:
        best = min((row for row in rows if row["optimizer"] == name), key=lambda row: row["val loss"])
        rows.append(pretrained(name, best["rate"], 1, steps))
    return rows


def main() -> None:
    """Measure the parts and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", default=["padding", "embeddings", "muon"])
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    restrict()
    sizes, steps, length = (ROWS[:1], 5, 6) if options.tiny else (ROWS, 40, 250)
    parts = {
        "padding": lambda: [padding(task, limit) for task in TASKS for limit in sizes],
        "embeddings": lambda: embeddings(steps),
        "muon": lambda: muon(length),
    }
    rows = []
    for part in options.parts:
        for row in parts[part]():
            print(*row.values(), sep="  ", flush=True)
            rows.append(row)
    record = {
        "command": provenance.command(), "git": provenance.git_state(), "hardware": provenance.hardware(),
        "versions": provenance.versions(), "measured": datetime.now(UTC).isoformat(timespec="seconds"), "rows": rows,
    }  # fmt: skip
    options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

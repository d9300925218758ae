"""lm_lab's side: one run through its configuration, and a grid through `bench run`."""

import json
import subprocess
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import lightning as L
import torch
import yaml
from clock import now
from settings import GRID, KINDS, RATES, Settings

from lm_lab.config.adapting import build
from lm_lab.config.lightning_cli import quiet


class Ends(L.Callback):
    """When each step has ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Note the time; the GPU is waited for at the second step and the last, between which is measured."""
        if torch.cuda.is_available() and len(self.times) in (1, int(trainer.max_steps) - 1):
            torch.cuda.synchronize()
        self.times.append(now())


def trainer(settings: Settings, **more: Any) -> dict[str, Any]:
    """Settings of the Lightning trainer."""
    switched_off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    return {
        "accelerator": settings.accelerator, "devices": 1, "precision": "32-true", "gradient_clip_val": 1.0,
        **dict.fromkeys(switched_off, False), "limit_val_batches": 0, **more,
    }  # fmt: skip


def run(kind: str, seed: int, settings: Settings, steps: int = 0) -> dict[str, Any]:
    """Accuracy, seconds of the steps and of everything; with `steps`, only when each of so many ended."""
    name, arguments = KINDS[kind]
    ends, started = Ends(), now()
    model = {
        "backbone": {"source": settings.source}, "pooling": "mean", "learning_rate": RATES[kind],
        "strategy": {"class_path": name, "init_args": arguments},
    }  # fmt: skip
    length = {"max_epochs": -1, "max_steps": steps} if steps else {"max_epochs": 1}
    data = {"class_path": "GLUE", "init_args": settings.rows(settings.examples)}
    config = {"seed_everything": seed, "model": model, "data": data, "trainer": trainer(settings, **length)}
    with quiet():
        cli = build(config, run=False, callbacks=(ends,))
        began = now()
        cli.trainer.fit(cli.model, cli.datamodule)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds = now() - began
        if steps:
            return {"times": ends.times}
        cli.trainer.limit_val_batches = 1.0
        scores: Any = cli.trainer.predict(cli.model, dataloaders=cli.datamodule.val_dataloader()[0])
    right = torch.cat([batch["predictions"] == batch["labels"] for batch in scores])
    return {
        "score": right.float().mean().item(), "seconds": seconds, "total_seconds": now() - started,
        "steps": len(ends.times),
    }  # fmt: skip


def grid(settings: Settings, folder: Path, race: bool = False) -> dict[str, Any]:
    """Seconds of the command, from its start to its report, and the scores of its cells by method and rate."""
    folder.mkdir()
    (folder / "grid.yaml").write_text(yaml.safe_dump(suite(settings, race)), encoding="utf-8")
    out = folder / "results"
    command = [sys.executable, "-m", "lm_lab", "bench", "run", str(folder / "grid.yaml"), "--out", str(out)]
    started = now()
    ran = subprocess.run(
        [*command, "--workers", "1", "--threads", str(settings.threads), "--wandb", "disabled"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    seconds = now() - started
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((out / "cells").glob("*.json"))]
    if not records:
        raise RuntimeError(ran.stdout[-2000:] + ran.stderr[-2000:])
    scores: dict[str, dict[str, list[float]]] = {kind: {} for kind in GRID}
    held_out: dict[str, dict[str, list[float]]] = {kind: {} for kind in GRID}
    whole = [record for record in records if "race" not in record["cell"]]
    for record in (record for record in whole if record["status"] == "done"):
        rate = str(record["cell"]["tuned"]["learning_rate"])
        kind = record["cell"]["coordinates"]["strategy"]
        scores[kind].setdefault(rate, []).append(record["score"]["validation"])
        held_out[kind].setdefault(rate, []).append(record["score"]["selection"])
    packed = max(len(record.get("packed_with", ())) + 1 for record in records)
    return {
        "seconds": seconds, "scores": scores, "winners": {kind: winner(held_out[kind]) for kind in GRID},
        "cells": len(records), "whole": len(whole), "most_in_a_pass": packed,
    }  # fmt: skip


def winner(by_rate: dict[str, list[float]]) -> str:
    """The rate with the best mean on held-out rows."""
    return max(by_rate, key=lambda rate: fmean(by_rate[rate]))


def suite(settings: Settings, race: bool = False) -> dict[str, Any]:
    """Three methods by four rates by all seeds; each runs, as in the Trainer's loop, unless a race gives it up."""
    rows = settings.rows(settings.grid_examples)
    shorter = {"max_epochs": 1, "gradient_clip_val": 1.0, "precision": "32-true", "accelerator": settings.accelerator}
    return {
        "name": "peers_grid",
        "seeds": list(range(settings.grid_seeds)),
        "selection_seeds": settings.grid_seeds,
        **({"race": settings.grid_race} if race else {}),
        "defaults": {
            "model": {"pooling": "mean"},
            "data": {name: rows[name] for name in ("batch_size", "max_length", "train_limit", "validation_limit")}
            | {"batch_size": settings.grid_batch, "holdout": settings.grid_holdout},
            "trainer": shorter,
        },
        "backbones": {"encoder": {"backbone": {"source": settings.source}}},
        "tasks": {settings.task: {"data": {"task": settings.task, "source": settings.data}}},
        "strategies": {
            kind: {"class_path": KINDS[kind][0], "init_args": KINDS[kind][1], "tune": {"learning_rate": rates}}
            for kind, rates in GRID.items()
        },
    }

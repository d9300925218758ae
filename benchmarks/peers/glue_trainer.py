"""SST-2 with lm_lab beside the plain `transformers` Trainer (with PEFT for LoRA): same model, data, steps and machine.

    LM_LAB_DATA=../shared/data python benchmarks/peers/glue_trainer.py --out benchmarks/results/peers_glue_trainer.json

Full fine-tuning, LoRA of rank 8 and a frozen backbone, each once by either side in turn: 10,000 examples, one epoch
of batches of 32, AdamW, linear warm-up and decay, the learning rates below, threads and precision of the machine. The
Trainer is as its documentation has it, in fp32 weights (the checkpoint's fp16 would be emulated on a CPU): batches
padded to their longest, dropout on, the classification head of `transformers` (the pooler and a linear layer). Ours
is mean pooling. Training seconds are optimiser steps on either side, evaluation apart.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import peft
import record
import torch
from clock import Clock
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

from lm_lab import hub
from lm_lab.cli import exit_code
from lm_lab.config.adapting import build
from lm_lab.config.lightning_cli import quiet, restrict
from lm_lab.data.modules.glue import GLUE
from lm_lab.training.callbacks.meter import TrainingMeter
from lm_lab.training.machine.precision import usable

SOURCE = "sentence-transformers/paraphrase-MiniLM-L3-v2"
RATES = {"full": 3e-4, "lora": 3e-3, "frozen": 1e-3}
CLASSES = {"full": "FullFineTuning", "lora": "LoRA", "frozen": "LinearProbe"}
PRECISION = usable("bf16-mixed")


def ours(kind: str, seed: int, limit: int) -> dict[str, float]:
    """lm_lab's accuracy and seconds."""
    meter = TrainingMeter()
    config = {
        "seed_everything": seed,
        "model": {
            "backbone": {"source": SOURCE},
            "strategy": {"class_path": CLASSES[kind]},
            "pooling": "mean",
            "learning_rate": RATES[kind],
        },
        "data": {"class_path": "GLUE", "init_args": {"task": "sst2", "train_limit": limit, "batch_size": 32}},
        "trainer": {
            "max_epochs": 1, "precision": PRECISION, "logger": False, "enable_checkpointing": False,
            "enable_progress_bar": False, "enable_model_summary": False, "limit_val_batches": 0,
        },
    }  # fmt: skip
    cli = build(config, run=False, callbacks=(meter,))
    cli.trainer.fit(cli.model, cli.datamodule)
    cli.trainer.limit_val_batches = 1.0
    scores: Any = cli.trainer.predict(cli.model, dataloaders=cli.datamodule.val_dataloader()[0])
    right = torch.cat([batch["predictions"] == batch["labels"] for batch in scores])
    return {"accuracy": right.float().mean().item(), "seconds": meter.seconds, "steps": meter.steps}


def theirs(kind: str, seed: int, limit: int) -> dict[str, float]:
    """The Trainer's accuracy and seconds."""
    set_seed(seed)
    source = str(hub.local_weights(SOURCE) or SOURCE)
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=2, dtype=torch.float32)
    if kind == "lora":
        model = peft.get_peft_model(model, peft.LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16))
    elif kind == "frozen":
        model.base_model.requires_grad_(False)
    rows = GLUE("sst2", train_limit=limit)
    splits = {}
    for split in ("train", "validation"):
        found = rows.rows(split)
        table = datasets.Dataset.from_dict({"text": found.texts[0], "label": found.labels.astype(int).tolist()})
        splits[split] = table.map(lambda row: tokenizer(row["text"], truncation=True, max_length=128), batched=True)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, num_train_epochs=1, per_device_train_batch_size=32, per_device_eval_batch_size=128,
            learning_rate=RATES[kind], lr_scheduler_type="linear", warmup_steps=limit // 320, weight_decay=0.01,
            seed=seed, bf16=PRECISION == "bf16-mixed", report_to="none", save_strategy="no", logging_strategy="no",
            disable_tqdm=True, use_cpu=not torch.cuda.is_available(),
        )  # fmt: skip
        trainer = Trainer(
            model, arguments, train_dataset=splits["train"], eval_dataset=splits["validation"],
            data_collator=DataCollatorWithPadding(tokenizer), callbacks=[clock],
        )  # fmt: skip
        trainer.train()
        found = trainer.predict(splits["validation"])
    right = found.predictions.argmax(-1) == np.asarray(splits["validation"]["label"])
    return {"accuracy": float(right.mean()), "seconds": clock.seconds, "steps": trainer.state.global_step}


def main() -> None:
    """Run both sides in turn, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=10_000, help="training examples")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    restrict()
    settings = {"precision": PRECISION, "limit": options.limit, "rates": RATES}
    rows = []
    for seed in range(options.seeds):
        for kind in RATES:
            with quiet():
                row: dict[str, Any] = {"kind": kind, "seed": seed, "ours": ours(kind, seed, options.limit)}
            row["theirs"] = theirs(kind, seed, options.limit)
            row["ratio"] = row["theirs"]["seconds"] / row["ours"]["seconds"]
            rows.append(row)
            print(json.dumps(row), flush=True)
            if options.out:
                record.write(options.out, rows, {"peft": peft.__version__}, **settings)


if __name__ == "__main__":
    sys.exit(exit_code(main))

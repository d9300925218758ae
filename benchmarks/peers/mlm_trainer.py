"""Masked words with lm_lab beside the plain `transformers` Trainer and its collator: same model, rows, steps, machine.

    lm-lab tokenizer --kind wordpiece --source wikitext-2-raw --vocab_size 8000 --lowercase --out runs/wordpieces
    LM_LAB_DATA=../shared/data python benchmarks/peers/mlm_trainer.py --out benchmarks/results/peers_mlm_trainer.json

BERT of 2 layers of 128 from random weights on WikiText-2, either side in turn, one process, the machine's threads and
precision, batches of 64 rows, AdamW at 1e-3. Rows are packed (128 tokens, no padding: the very same rows for both), or
lines cut at 128 tokens, which the Trainer pads in its random order and lm_lab batches by length. Seconds are those
of all steps, with what prepares their batches; tokens are without padding. The held-out loss is of the packed
validation rows, masked once for both.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import record
import torch
import transformers
from clock import Clock
from transformers import BertForMaskedLM, DataCollatorForLanguageModeling, Trainer, TrainingArguments, set_seed

from lm_lab.cli import exit_code
from lm_lab.commands.pretrain import PretrainCLI, build
from lm_lab.config.imports import restrict
from lm_lab.config.lightning_cli import quiet
from lm_lab.training.machine.precision import usable

PRECISION = usable("bf16-mixed")
RATE, LENGTH, BATCH = 1e-3, 128, 64
KINDS = {"packed": "Packed", "lines": "Documents"}
Examples = list[dict[str, list[int]]]


class Steps(L.Callback):
    """Wall time of lm_lab's training."""

    def on_train_start(self, *_: Any) -> None:
        """Start."""
        self.started = time.perf_counter()

    def on_train_end(self, *_: Any) -> None:
        """Stop."""
        self.seconds = time.perf_counter() - self.started


def prepared(kind: str, seed: int, steps: int, tokenizer: str) -> PretrainCLI:
    """lm_lab's model, text and trainer."""
    cli = build(
        {
            "seed_everything": seed,
            "model": {
                "backbone": {"source": "new:bert-tiny", "tokenizer": tokenizer},
                "objective": "lm_lab.objectives.MaskedLM",
                "learning_rate": RATE,
            },
            "data": {
                "source": "wikitext-2-raw", "held_out": 0, "batch_size": BATCH, "max_length": LENGTH, "seed": seed,
                "starts": " = [^=]" if kind == "packed" else None, "rows": f"lm_lab.data.corpora.rows.{KINDS[kind]}",
            },
            "save": {"output": tempfile.mkdtemp()},
            "trainer": {
                "max_epochs": -1, "max_steps": steps, "precision": PRECISION, "logger": False,
                "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False,
                "limit_val_batches": 0,
            },
        },
        run=False,
    )  # fmt: skip
    cli.datamodule.setup("fit")
    return cli


def examples(rows: Any) -> Examples:
    """The rows of the first epoch as the Trainer takes them."""
    return [{"input_ids": rows.row(0, number).ids.tolist()} for number in range(len(rows))]


def ours(cli: PretrainCLI, held_out: Sequence[dict[str, torch.Tensor]]) -> dict[str, float]:
    """lm_lab's tokens, seconds and held-out loss."""
    clock = Steps()
    cli.trainer.callbacks.append(clock)  # type: ignore[attr-defined]
    cli.trainer.fit(cli.model, cli.datamodule)
    model = cli.model.eval()
    table = model.backbone.embeddings.get_parameter("weight")
    with torch.no_grad():
        losses = [
            model.objective.predict(model.backbone.last(**_read(batch)), batch["labels"], table).total
            for batch in held_out
        ]
    return {"tokens": int(model.tokens), "seconds": clock.seconds, "loss": float(torch.stack(losses).mean())}


def theirs(
    cli: PretrainCLI, rows: Examples, held_out: Sequence[dict[str, torch.Tensor]], seed: int, steps: int
) -> dict[str, float]:
    """The Trainer's, from the same configuration and the same rows."""
    set_seed(seed)
    model = BertForMaskedLM(cli.model.backbone.config)
    clock, sizes = Clock(), list[int]()
    mask = DataCollatorForLanguageModeling(cli.model.backbone.tokenizer, mlm_probability=0.15)

    def collate(batch: Examples) -> Any:
        sizes.append(sum(len(row["input_ids"]) for row in batch))
        return mask(batch)

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, max_steps=steps, per_device_train_batch_size=BATCH, learning_rate=RATE, warmup_steps=steps // 10,
            weight_decay=0.01, seed=seed, bf16=PRECISION == "bf16-mixed", report_to="none", save_strategy="no",
            logging_strategy="no", disable_tqdm=True, use_cpu=not torch.cuda.is_available(),
        )  # fmt: skip
        Trainer(model, arguments, train_dataset=rows, data_collator=collate, callbacks=[clock]).train()
    with torch.no_grad():
        losses = [model.eval()(**batch).loss for batch in held_out]
    # the loader prepares a batch more than is used
    return {"tokens": sum(sizes[:steps]), "seconds": clock.seconds, "loss": float(torch.stack(losses).mean())}


def run(kind: str, seed: int, steps: int, tokenizer: str) -> dict[str, Any]:
    """Both sides, one after the other."""
    with quiet():
        cli = prepared(kind, seed, steps, tokenizer)
        packed = cli if kind == "packed" else prepared("packed", seed, steps, tokenizer)
        assert packed.datamodule.validation is not None
        rows, validation = examples(cli.datamodule.training), examples(packed.datamodule.validation)
        set_seed(0)
        mask = DataCollatorForLanguageModeling(cli.model.backbone.tokenizer, mlm_probability=0.15)
        held_out = [dict(mask(validation[start : start + BATCH])) for start in range(0, len(validation), BATCH)]
        found = {"ours": ours(cli, held_out)}
    found["theirs"] = theirs(cli, rows, held_out, seed, steps)
    speeds = {side: numbers["tokens"] / numbers["seconds"] for side, numbers in found.items()}
    ratio = speeds["ours"] / speeds["theirs"]
    return {"kind": kind, "seed": seed, **found, "tokens_per_second": speeds, "ratio": ratio}


def _read(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: batch[name] for name in ("input_ids", "attention_mask")}


def main() -> None:
    """Run both sides in turn, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tokenizer", default="runs/wordpieces", help="folder of an 8,000-piece tokenizer")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    restrict()
    settings = {"precision": PRECISION, "steps": options.steps, "threads": torch.get_num_threads()}
    rows = []
    for seed in range(options.seeds):
        for kind in KINDS:
            rows.append(run(kind, seed, options.steps, options.tokenizer))
            print(json.dumps(rows[-1]), flush=True)
            if options.out:
                record.write(options.out, rows, {"transformers": transformers.__version__}, **settings)


if __name__ == "__main__":
    sys.exit(exit_code(main))

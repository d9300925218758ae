"""The peers' side: the `transformers` Trainer, with PEFT for LoRA and prefixes.

The model is what a user of a sentence encoder writes: `AutoModel`, the mean of the last states, a linear layer. PEFT
has no Houlsby adapter, and the library `adapters` 1.3 asks for an older `transformers`, so the bottlenecks are plain
torch: behind the output layer of attention and of the feed-forward network of each block, with the layer norms
trained, as the paper has it. BitFit trains what is named "bias", frozen the linear layer alone.
"""

import tempfile
from dataclasses import replace
from typing import Any

import datasets
import numpy as np
import peft
import torch
from clock import now
from settings import GRID, RATES, Settings
from torch import nn
from transformers import (
    AutoModel,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from lm_lab import hub
from lm_lab.data.modules.glue import GLUE

Splits = dict[str, datasets.Dataset]


class Ends(TrainerCallback):
    """When each step has ended; the GPU is waited for as on our side."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Note the time."""
        if torch.cuda.is_available() and len(self.times) in (1, state.max_steps - 1):
            torch.cuda.synchronize()
        self.times.append(now())


class Bottleneck(nn.Module):
    """y + up(gelu(down(y))) behind a linear layer; it starts as nothing."""

    def __init__(self, linear: nn.Linear, size: int) -> None:
        super().__init__()
        self.linear = linear
        self.down, self.up = nn.Linear(linear.out_features, size), nn.Linear(size, linear.out_features)
        nn.init.normal_(self.down.weight, std=1e-3)
        nn.init.normal_(self.up.weight, std=1e-3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, t, inputs) -> (b, t, outputs)."""
        y = self.linear(x)
        return y + self.up(nn.functional.gelu(self.down(y)))


class Classifier(nn.Module):
    """An encoder, the mean of its last states, a linear layer."""

    def __init__(self, kind: str, source: str) -> None:
        super().__init__()
        # the checkpoint's fp16 would be emulated on a CPU
        encoder = AutoModel.from_pretrained(source, dtype=torch.float32, add_pooling_layer=False)
        width = encoder.config.hidden_size
        self.encoder, self.head = adapted(kind, encoder), nn.Linear(width, 2)

    def forward(self, input_ids: Any, attention_mask: Any, labels: Any = None, **more: Any) -> dict[str, Any]:
        """Loss and logits, as the Trainer reads them."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **more).last_hidden_state
        weights = attention_mask[..., None].to(states.dtype)
        logits = self.head((states * weights).sum(1) / weights.sum(1))
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def adapted(kind: str, encoder: Any) -> Any:
    """The encoder with what the method trains."""
    if kind == "full":
        return encoder
    if kind == "lora":
        return peft.get_peft_model(encoder, peft.LoraConfig(task_type="FEATURE_EXTRACTION", r=8, lora_alpha=16))
    if kind == "prefix":
        config = peft.PrefixTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=16)
        return peft.get_peft_model(encoder, config)
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad = {"bitfit": "bias" in name, "adapter": "LayerNorm" in name}.get(kind, False)
    if kind == "adapter":
        for layer in encoder.encoder.layer:
            layer.attention.output.dense = Bottleneck(layer.attention.output.dense, 32)
            layer.output.dense = Bottleneck(layer.output.dense, 32)
    return encoder


def splits(settings: Settings, examples: int, tokenizer: Any, held_out: int = 0) -> Splits:
    """The rows that lm_lab reads, cut in the same way; padded by the collator, to the longest of a batch.

    Rows of train beyond `examples` are held out.
    """
    rows, found = GLUE(**settings.rows(examples + held_out)), {}
    for split, limit in (("train", examples + held_out), ("validation", settings.evaluated)):
        read = rows.rows(split)
        table = {"text": read.texts[0][:limit], "label": read.labels.astype(int).tolist()[:limit]}
        cut = {"truncation": True, "max_length": settings.max_length}
        made = datasets.Dataset.from_dict(table)
        found[split] = made.map(lambda row: tokenizer(row["text"], **cut), batched=True)  # noqa: B023
    if held_out:
        found["held out"] = found["train"].select(range(examples, examples + held_out))
        found["train"] = found["train"].select(range(examples))
    return found


def run(
    kind: str,
    seed: int,
    settings: Settings,
    steps: int = 0,
    rate: float | None = None,
    examples: int | None = None,
    held_out: int = 0,
) -> dict[str, Any]:
    """Accuracy, seconds of the steps and of everything; with `steps`, only when each of so many ended.

    What is held out of train, by which rates are chosen, is predicted too.
    """
    started, examples = now(), examples or settings.examples
    set_seed(seed)
    source = str(hub.local_weights(settings.source) or settings.source)
    tokenizer = AutoTokenizer.from_pretrained(source)
    model, rows, ends = Classifier(kind, source), splits(settings, examples, tokenizer, held_out), Ends()
    warmup = (steps or -(-examples // settings.batch)) // 10
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, num_train_epochs=1, max_steps=steps or -1, per_device_train_batch_size=settings.batch,
            per_device_eval_batch_size=128, learning_rate=rate or RATES[kind], lr_scheduler_type="linear",
            warmup_steps=warmup, weight_decay=0.01, max_grad_norm=1.0, seed=seed, report_to="none",
            save_strategy="no", logging_strategy="no", disable_tqdm=True, use_cpu=settings.accelerator == "cpu",
        )  # fmt: skip
        trainer = Trainer(
            model, arguments, train_dataset=rows["train"], eval_dataset=rows["validation"],
            data_collator=DataCollatorWithPadding(tokenizer), callbacks=[ends],
        )  # fmt: skip
        began = now()
        trainer.train()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds = now() - began
        if steps:
            return {"times": ends.times}
        found = trainer.predict(rows["validation"])
        if held_out:
            trainer.predict(rows["held out"])
    right = found.predictions.argmax(-1) == np.asarray(rows["validation"]["label"])
    return {
        "score": float(right.mean()), "seconds": seconds, "total_seconds": now() - started,
        "steps": trainer.state.global_step,
    }  # fmt: skip


def grid(settings: Settings) -> dict[str, Any]:
    """Seconds of a loop of runs in one process, and their scores by method and rate."""
    started, scores = now(), {}
    settings = replace(settings, batch=settings.grid_batch)
    rows = {"examples": settings.grid_examples, "held_out": settings.grid_holdout}
    for kind, rates in GRID.items():
        scores[kind] = {
            str(rate): [run(kind, seed, settings, rate=rate, **rows)["score"] for seed in range(settings.grid_seeds)]
            for rate in rates
        }
    return {"seconds": now() - started, "scores": scores}

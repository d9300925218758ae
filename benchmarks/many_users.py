"""Serving N users from one backbone: a mixed batch against swapping each user's delta in and out.

    LM_LAB_DATA=../shared/data python benchmarks/many_users.py --out benchmarks/results/many_users.json

Both serve the same 64 texts of 32 tokens, N users taking turns, in one process; a figure is the median of `--repeats`
alternating runs, and what counts is their ratio. Swapping copies each user's tensors into the model and runs
that user's texts; the bank runs all texts at once. Deltas are random: speed does not depend on their values.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import torch
from safetensors.torch import load_file

from lm_lab import provenance
from lm_lab.backbones import TransformersBackbone
from lm_lab.cli import exit_code
from lm_lab.models import AdaptedModel, delta
from lm_lab.serving import Bank
from lm_lab.strategies import AdaptationStrategy, HoulsbyAdapter, LoRA, PromptTuning, PTuningV2
from lm_lab.tasks import glue_task

TEXTS, LENGTH = 64, 32
USERS = (1, 4, 16, 64)
KINDS: dict[str, AdaptationStrategy] = {
    "LoRA, rank 8": LoRA(rank=8),
    "Houlsby adapter, size 16": HoulsbyAdapter(size=16),
    "P-tuning v2, length 16": PTuningV2(length=16),
    "prompt, length 16": PromptTuning(length=16),
}


def build(source: str, strategy: AdaptationStrategy) -> AdaptedModel:
    """An adaptation in eval mode whose delta is random."""
    model = AdaptedModel(TransformersBackbone(source), strategy, glue_task("sst2"), pooling="mean").eval()
    with torch.no_grad():
        for name in model.trained:
            model.get_parameter(name).add_(torch.randn_like(model.get_parameter(name)), alpha=0.01)
    return model


def median_seconds(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median wall time of each run; they take turns, after one turn that does not count."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats + 1):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(found[1:]) for name, found in times.items()}


@torch.no_grad()
def measure(source: str, strategy: AdaptationStrategy, users: int, repeats: int) -> dict[str, float]:
    """Texts a second of both ways, their ratio, and the largest difference of their scores."""
    with tempfile.TemporaryDirectory() as root:
        folders = [delta.save(build(source, strategy), f"{root}/{user}") for user in range(users)]
        bank = Bank(build(source, strategy), folders)
        stored = [load_file(folder / delta.TENSORS) for folder in folders]
    single = build(source, strategy)
    state = single.state_dict()
    ids = torch.randint(1000, 20000, (TEXTS, LENGTH))
    owners = torch.arange(TEXTS) % users
    text = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def swapped() -> torch.Tensor:
        scores = torch.empty(TEXTS, 2)
        for user in range(users):
            for name, value in stored[user].items():
                state[name].copy_(value)
            own = owners == user
            scores[own] = single({"texts": [{name: value[own] for name, value in text.items()}]})
        return scores

    def mixed() -> torch.Tensor:
        return bank({"texts": [text]}, owners)

    difference = (mixed() - swapped()).abs().max().item()
    seconds = median_seconds({"mixed": mixed, "swapped": swapped}, repeats)
    return {
        "mixed_texts_per_second": TEXTS / seconds["mixed"],
        "swapped_texts_per_second": TEXTS / seconds["swapped"],
        "ratio": seconds["swapped"] / seconds["mixed"],
        "largest_difference": difference,
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="sentence-transformers/paraphrase-MiniLM-L3-v2")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    for kind, strategy in KINDS.items():
        for users in USERS:
            torch.manual_seed(0)
            found = measure(options.backbone, strategy, users, options.repeats)
            rows.append({"kind": kind, "users": users, **found})
            print(f"{kind:<26}{users:>3} users: " + ", ".join(f"{k} {v:.3g}" for k, v in found.items()), flush=True)
    if options.out:
        record = {
            "command": provenance.command(),
            "backbone": options.backbone,
            "texts": TEXTS,
            "length": LENGTH,
            "repeats": options.repeats,
            "git": provenance.git_state(),
            "hardware": provenance.hardware(),
            "versions": provenance.versions(),
            "measured": datetime.now(UTC).isoformat(timespec="seconds"),
            "rows": rows,
        }
        options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(exit_code(main))

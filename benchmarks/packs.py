"""What a pack gains: a step of K runs in one pass beside K steps of runs alone, in turn; prints rows and writes JSON.

    python benchmarks/packs.py --out benchmarks/results/packs.json [--device cuda] [--backbones FOLDER ...]

Forward and backward pass of batches of random tokens, fp32; the shortest of five, the first left out; on a CPU seconds
of the processor. Beside a step Lightning's loop takes 2 ms, of a pack once; the last column leaves that out.
"""

import argparse
import json
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import torch

from lm_lab import provenance
from lm_lab.backbones import TransformersBackbone
from lm_lab.models import AdaptedModel
from lm_lab.packs import Pack
from lm_lab.packs.streams import Stream
from lm_lab.packs.trial import LOOP, gain
from lm_lab.strategies import BitFit, FullFineTuning, LoRA, PfeifferAdapter, PTuningV2
from lm_lab.tasks import glue_task

STRATEGIES = {
    "LoRA, rank 8": LoRA(),
    "Pfeiffer adapter, 64": PfeifferAdapter(),
    "BitFit": BitFit(),
    "P-tuning v2, 16": PTuningV2(),
    "full": FullFineTuning(),
}
SHAPES, ROUNDS = ((8, 12), (16, 32)), 5  # (rows, tokens) of a run's batch


def measured(source: str, name: str, runs: int, shape: tuple[int, int], device: str) -> dict[str, Any]:
    """One row: how many times as fast a step of so many runs is as their own, with the loop's time and without."""
    models = []
    for _ in range(runs):
        torch.manual_seed(0)  # a folder without weights has the same random ones for all
        models.append(AdaptedModel(TransformersBackbone(source), STRATEGIES[name], glue_task("sst2")))
    batches = [batch(models[0].backbone.vocabulary_size, seed, shape, device) for seed in range(runs)]
    pack = Pack(models, [Stream() for _ in models]).to(device)
    whole, bare = gain(pack, batches, ROUNDS), gain(pack, batches, ROUNDS, loop=0.0)
    found = {"gain": round(whole, 2), "without the loop": round(bare, 2)}
    return {"backbone": source, "strategy": name, "rows x tokens": "{} x {}".format(*shape), "runs": runs} | found


def batch(vocabulary: int, seed: int, shape: tuple[int, int], device: str) -> dict[str, Any]:
    """Random tokens and labels."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, vocabulary, shape, generator=generator).to(device)
    text = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return {"texts": [text], "labels": (torch.arange(shape[0]) % 2.0).to(device)}


def main() -> None:
    """Measure every strategy and number of runs on every backbone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--backbones", nargs="+", default=["configs/backbones/microworld_bert"])
    parser.add_argument("--runs", nargs="+", type=int, default=[2, 4, 8])
    options = parser.parse_args()
    rows = []
    for source in options.backbones:
        for shape, name, runs in product(SHAPES, STRATEGIES, options.runs):
            rows.append(measured(source, name, runs, shape, options.device))
            print(*rows[-1].values(), sep="  ", flush=True)
    record = {
        "command": provenance.command(), "git": provenance.git_state(), "hardware": provenance.hardware(),
        "versions": provenance.versions(), "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds of the loop": LOOP, "rows": rows,
    }  # fmt: skip
    options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""`lm-lab import`: a PEFT adapter as a delta."""

import argparse
import sys
from pathlib import Path


def main(args: list[str]) -> int:
    """Write the delta."""
    options = parse(args)

    from lm_lab.backbones import Backbone
    from lm_lab.commands.lightning_cli import quiet
    from lm_lab.interchange.peft_read import read
    from lm_lab.tasks import glue_task
    from lm_lab.training import delta

    with quiet():
        task = glue_task(options.task)
        found = read(options.peft, Backbone(options.backbone), task, options.pooling, options.pairs)
        folder = delta.save(found.model, options.out)
    if not found.has_head:
        print(
            "the adapter brings no head for this task: the delta's head is fresh, and predicts nothing", file=sys.stderr
        )
    print(f"delta: {folder}")
    return 0


def parse(args: list[str]) -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser("lm-lab import", description="Write a PEFT adapter as a delta.")
    parser.add_argument("--peft", type=Path, required=True, help="folder of the adapter")
    parser.add_argument("--backbone", required=True, help="hub id or folder of the model it was trained on")
    parser.add_argument("--task", required=True, help="task of the delta")
    parser.add_argument("--pooling", choices=("cls", "mean", "max", "last"), help="how the head reads")
    parser.add_argument("--pairs", choices=("joint", "towers"), default="joint", help="how pairs are read")
    parser.add_argument("--out", type=Path, required=True, help="folder of the delta")
    return parser.parse_args(args)

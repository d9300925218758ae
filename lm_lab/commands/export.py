"""`lm-lab export`: a trained delta as a PEFT adapter."""

import argparse
from pathlib import Path


def main(args: list[str]) -> int:
    """Write the adapter."""
    options = parse(args)

    from lm_lab.commands.lightning_cli import quiet
    from lm_lab.interchange.peft_write import export
    from lm_lab.training.saved import load_adaptation

    with quiet():
        folder = export(load_adaptation(options.delta), options.out)
    print(f"adapter: {folder}")
    return 0


def parse(args: list[str]) -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser("lm-lab export", description="Write a trained delta in PEFT's format.")
    parser.add_argument("--delta", type=Path, required=True, help="folder written by lm-lab adapt fit")
    parser.add_argument("--out", type=Path, required=True, help="folder of the adapter")
    return parser.parse_args(args)

"""`lm-lab export`: a trained delta as a PEFT adapter."""

import argparse
from pathlib import Path

from lm_lab.commands.arguments import Arguments


def main(args: list[str]) -> int:
    """Write the adapter."""
    options = parse(args)

    from lm_lab.atomic import writable
    from lm_lab.config.lightning_cli import quiet
    from lm_lab.interchange.card import read_facts, write_card
    from lm_lab.interchange.peft_write import export
    from lm_lab.models.loading import load_adaptation

    with quiet():
        model = load_adaptation(options.delta, options.allow_import)
        with writable(options.out):
            folder = export(model, options.out)
            write_card(folder, model, "peft", read_facts(options.delta))
    print(f"adapter: {folder}")
    return 0


def parse(args: list[str]) -> argparse.Namespace:
    """The arguments."""
    parser = Arguments("lm-lab export", description="Write a trained delta in PEFT's format.")
    parser.add_argument("--delta", type=Path, required=True, help="folder written by lm-lab adapt fit")
    parser.add_argument("--out", type=Path, required=True, help="folder of the adapter")
    parser.add_argument(
        "--allow-import", action="append", default=[], metavar="PACKAGE", help="package its classes may come from"
    )
    return parser.parse_args(args)

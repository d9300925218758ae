"""`lm-lab export`: a trained delta as a PEFT adapter."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lm_lab.commands.arguments import Arguments

if TYPE_CHECKING:
    from lm_lab.models import AdaptedModel


def main(args: list[str]) -> int:
    """Write the adapter."""
    options = parser().parse_args(args)

    from lm_lab.atomic import writable
    from lm_lab.config.lightning_cli import quiet
    from lm_lab.interchange.card import read_facts, write_card
    from lm_lab.models.loading import load_adaptation

    with quiet():
        model = load_adaptation(options.delta, options.allow_import)
        with writable(options.out):
            loaded = _write(model, options.out, options.bare)
            write_card(options.out, model, "peft", read_facts(options.delta))
    print(f"adapter: {options.out}")
    print(f"loaded by: PeftModel.from_pretrained({loaded}, {str(options.out)!r})")
    return 0


def _write(model: "AdaptedModel", out: Path, bare: bool) -> str:
    """Write the adapter; what loads the model that it goes on."""
    from lm_lab.errors import UsageError
    from lm_lab.interchange.peft_task import export_for_task
    from lm_lab.interchange.peft_write import export

    why = None
    if not bare:
        try:
            return export_for_task(model, out)
        except UsageError as error:
            why = str(error)
    export(model, out)
    if why:
        print(f"for the bare model, with the head beside it: {why}", file=sys.stderr)
    return f"AutoModel.from_pretrained({model.backbone.settings['source']!r})"


def parser() -> argparse.ArgumentParser:
    """What reads its arguments."""
    parser = Arguments("lm-lab export", description="Write a trained delta in PEFT's format.")
    parser.add_argument("--delta", type=Path, required=True, help="folder written by lm-lab adapt fit")
    parser.add_argument("--out", type=Path, required=True, help="folder of the adapter")
    parser.add_argument("--bare", action="store_true", help="for the bare model (AutoModel), with the head beside it")
    parser.add_argument(
        "--allow-import", action="append", default=[], metavar="PACKAGE", help="package its classes may come from"
    )
    return parser

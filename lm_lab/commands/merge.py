"""`lm-lab merge`: an adaptation as a folder that plain `transformers` loads."""

import argparse
from pathlib import Path

from lm_lab.commands.arguments import Arguments


def main(args: list[str]) -> int:
    """Write the model."""
    options = parser().parse_args(args)

    from lm_lab.atomic import writable
    from lm_lab.config.lightning_cli import quiet
    from lm_lab.interchange.card import read_facts, write_card
    from lm_lab.interchange.merged import save_merged
    from lm_lab.interchange.task_folder import save_task_model
    from lm_lab.models.loading import load_adaptation

    with quiet():
        model = load_adaptation(options.delta, options.allow_import)
        with writable(options.out):
            folder = (save_merged if options.bare else save_task_model)(model, options.out)
            write_card(folder, model, "transformers", read_facts(options.delta))
    print(f"model: {folder}")
    return 0


def parser() -> argparse.ArgumentParser:
    """What reads its arguments."""
    parser = Arguments("lm-lab merge", description="Write an adaptation as an ordinary transformers folder.")
    parser.add_argument("--delta", type=Path, required=True, help="folder written by lm-lab adapt fit")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model")
    parser.add_argument(
        "--bare", action="store_true", help="the adapted backbone alone (AutoModel), with the head beside it"
    )
    parser.add_argument(
        "--allow-import", action="append", default=[], metavar="PACKAGE", help="package its classes may come from"
    )
    return parser

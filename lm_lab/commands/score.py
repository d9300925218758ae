"""`lm-lab score`: what a pretrained language model knows, without training anything."""

import argparse
from dataclasses import asdict
from typing import Any

from lm_lab.commands.arguments import Arguments
from lm_lab.commands.rows import Rows, arguments, say
from lm_lab.errors import UsageError

_TASK = "blimp: minimal pairs; lambada: last words; sts: cosines of sentence vectors on STS-B"


def main(args: list[str]) -> int:
    """Print the table, and write it if asked."""
    options, settings = parser().parse_known_args(args)
    if options.limit is not None and options.limit < 1:
        raise UsageError(f"--limit {options.limit}: expected 1 or more.")

    from lm_lab.config.backbones import read
    from lm_lab.config.imports import restrict
    from lm_lab.config.lightning_cli import quiet

    restrict(options.allow_import)
    with quiet():
        backbone = read(["--backbone", options.backbone, *settings]).to(_device())
        rows = _ROWS[options.task](backbone, options)
    say(rows, options, _cell)
    return 0


def _blimp(backbone: Any, options: argparse.Namespace) -> Rows:
    from lm_lab.scoring.data import minimal_pairs
    from lm_lab.scoring.minimal_pairs import accuracies, preferences, summary
    from lm_lab.scoring.output import likelihood

    model = likelihood(backbone)
    pairs = minimal_pairs(options.source, options.limit)
    found = accuracies(pairs, preferences(model, pairs))
    return [asdict(row) for row in (found["paradigms"] if options.paradigms else []) + summary(found)]


def _lambada(backbone: Any, options: argparse.Namespace) -> Rows:
    from lm_lab.scoring.cloze import last_words
    from lm_lab.scoring.data import passages
    from lm_lab.scoring.output import likelihood

    model = likelihood(backbone)
    return [{"name": "lambada"} | asdict(last_words(model, passages(options.source, options.limit)))]


def _sts(backbone: Any, options: argparse.Namespace) -> Rows:
    from lm_lab.data.modules.glue import GLUE
    from lm_lab.scoring.similarity import similarities

    rows = GLUE("stsb", source=options.source, validation_limit=options.limit).rows("validation")
    pairs = list(zip(*rows.texts, strict=True))
    return [asdict(row) for row in similarities(backbone, pairs, rows.labels, options.pooling or "mean")]


_ROWS = {"blimp": _blimp, "lambada": _lambada, "sts": _sts}


def _device() -> str:
    import torch

    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found.type if found else "cpu"


def _cell(name: str, value: Any) -> str:
    if name in ("value", "low", "high", "accuracy", "spearman", "whitened"):
        return f"{100 * value:.1f}"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def parser() -> argparse.ArgumentParser:
    """What reads its arguments."""
    parser = Arguments(
        "lm-lab score", description="What a pretrained language model knows, without training.", allow_abbrev=False
    )
    parser.add_argument("--backbone", required=True, help="hub id or folder; or a class, with --backbone.NAME VALUE")
    parser.add_argument("--task", choices=tuple(_ROWS), required=True, help=_TASK)
    parser.add_argument("--pooling", choices=("cls", "mean", "max", "last"), help="of sts: tokens to a vector (mean)")
    parser.add_argument("--source", help="file or folder of the data (default: LM_LAB_DATA, else the hub)")
    parser.add_argument("--limit", type=int, help="so many pairs of each paradigm, passages or pairs of sentences")
    parser.add_argument("--paradigms", action="store_true", help="a row for each of BLiMP's 67 paradigms too")
    parser.add_argument("--allow-import", action="append", default=[], help="package that a class may come from")
    arguments(parser)
    return parser

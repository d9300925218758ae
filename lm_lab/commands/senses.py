"""`lm-lab senses`: how well every layer of a frozen backbone tells the senses of a word apart."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lm_lab.commands.arguments import Arguments
from lm_lab.commands.rows import arguments, say
from lm_lab.errors import UsageError


def main(args: list[str]) -> int:
    """Print the table, and write it and the picture if asked."""
    options, settings = parser().parse_known_args(args)
    for name in ("lemmas", "tokens"):
        if (value := getattr(options, name)) is not None and value < 2:
            raise UsageError(f"--{name} {value}: expected 2 or more.")

    import torch

    from lm_lab.config.backbones import read
    from lm_lab.config.imports import restrict
    from lm_lab.config.lightning_cli import quiet
    from lm_lab.data.reading.senses import read_senses
    from lm_lab.probing.senses import lemmas, score, vectors_of

    restrict(options.allow_import)
    sentences, tagged = read_senses(options.source)
    given, tokens = lemmas(tagged, options.tokens, options.all_forms, options.lemmas)
    with quiet():
        torch.manual_seed(options.seed)
        backbone = read(["--backbone", options.backbone, *settings])
        lines = {"pretrained": score(vectors_of(backbone, sentences, tokens), given)}
        if not options.no_random:
            lines["random"] = score(vectors_of(backbone.randomised(), sentences, tokens), given)
    if options.plot:
        _draw(options.backbone, lines, options.plot)
    say([{"weights": name} | asdict(row) for name, rows in lines.items() for row in rows], options, _cell)
    return 0


def _draw(name: str, lines: dict[str, list[Any]], path: Path) -> None:
    from lm_lab.report.layer_curves import Mark, draw

    marks = {
        kind: {name: [Mark(row.layer, row.auc, row.low, row.high) for row in rows]} for kind, rows in lines.items()
    }
    draw(path, marks["pretrained"], "AUC of same against different senses, %", marks.get("random"), floor=0.5)


def _cell(name: str, value: Any) -> str:  # noqa: ARG001
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def parser() -> argparse.ArgumentParser:
    """What reads its arguments."""
    parser = Arguments(
        "lm-lab senses", description="How well layers tell the senses of a word apart.", allow_abbrev=False
    )
    parser.add_argument("--backbone", required=True, help="hub id or folder; or a class, with --backbone.NAME VALUE")
    parser.add_argument("--source", help="SemCor as parquet, or the folder above semcor/ (default: LM_LAB_DATA)")
    parser.add_argument("--lemmas", type=int, help="use so many lemmas, drawn; default: all that have pairs enough")
    parser.add_argument("--tokens", type=int, default=30, help="tokens of a lemma, drawn (30)")
    parser.add_argument("--all-forms", action="store_true", help="pairs of different forms of a lemma too")
    parser.add_argument("--no-random", action="store_true", help="leave the backbone with random weights out")
    parser.add_argument("--seed", type=int, default=0, help="of random weights")
    parser.add_argument("--plot", type=Path, help="file (SVG)")
    parser.add_argument("--allow-import", action="append", default=[], help="package that a class may come from")
    arguments(parser)
    return parser

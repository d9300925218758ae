"""`lm-lab probe`: what every layer of a frozen backbone holds of a task, beside its controls."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from lm_lab.commands.arguments import Arguments
from lm_lab.commands.rows import Rows, keep, say
from lm_lab.errors import UsageError

WORDS = ("pos", "relations", "heads")  # of a treebank
EXAMPLES, TESTED = 4000, 2000  # of these


def main(args: list[str]) -> int:
    """Print the table, and write it if asked."""
    options, settings = parser().parse_known_args(args)
    if options.limit is not None and options.limit < 20:
        raise UsageError(f"--limit {options.limit}: a probe needs at least 20 training examples.")

    import torch

    from lm_lab.config.backbones import read
    from lm_lab.config.imports import restrict
    from lm_lab.config.lightning_cli import quiet
    from lm_lab.data.modules.glue import GLUE
    from lm_lab.probing.sweep import reader, sweep

    restrict(options.allow_import)
    if options.task in WORDS:
        say(_words(options, settings), options, _cell)
        return 0
    with quiet():
        torch.manual_seed(options.seed)
        data = GLUE(options.task, source=options.source, train_limit=options.limit, max_length=options.max_length)
        reading = {"pooling": options.pooling, "pairs": options.pairs}
        backbone = read(["--backbone", options.backbone, *settings])
        random = None if options.no_random else reader(backbone.randomised(), data, **reading)
        model = reader(backbone, data, **reading)
        rows = [asdict(layer) for layer in sweep(model, data, random, options.seed)]
    if options.out:
        keep(rows, options.out)
    print(json.dumps(rows, indent=2) if options.json else _table(rows))
    return 0


def _words(options: argparse.Namespace, settings: list[str]) -> Rows:
    """The rows of a question about the words of a treebank."""
    import torch

    from lm_lab.config.backbones import read
    from lm_lab.config.lightning_cli import quiet
    from lm_lab.probing import treebank, word_sweep

    train, test = (
        treebank.read(options.task, split, options.source, limit, options.seed)
        for split, limit in (("train", options.limit or EXAMPLES), ("validation", TESTED))
    )
    with quiet():
        torch.manual_seed(options.seed)
        backbone = read(["--backbone", options.backbone, *settings])
        random = None if options.no_random else backbone.randomised()
        found = word_sweep.sweep(backbone, random, train, test, options.seed)
    if options.plot:
        from lm_lab.report.layer_curves import Mark, draw

        marks = [Mark(row.layer, row.score, row.low, row.high) for row in found]
        controls = [Mark(row.layer, *[row.random] * 3) for row in found if row.random is not None]
        title = f"{options.task}: accuracy by layer, %"
        draw(options.plot, {options.backbone: marks}, title, {options.backbone: controls} if controls else None)
    return [asdict(row) for row in found]


def _cell(name: str, value: float | None) -> str:
    return str(value) if name == "layer" else _percent(value)


def _table(rows: list[dict[str, float | None]]) -> str:
    head = ("layer", "score", "control", "selectivity", "memorised", "random", "kilobits", "compression")
    lines = ["  ".join(f"{word:>11}" for word in head)]
    for row in rows:
        bits = row["bits"]
        cells = [f"{row['layer']}", *(_percent(row[name]) for name in head[1:6])]
        cells += ["–" if bits is None else f"{bits / 1000:.2f}"]
        cells += ["–" if row["compression"] is None else f"{row['compression']:.2f}"]
        lines.append("  ".join(f"{cell:>11}" for cell in cells))
    return "\n".join(lines)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def parser() -> argparse.ArgumentParser:
    """What reads its arguments; others are the backbone's own."""
    parser = Arguments("lm-lab probe", description="Probe every layer of a frozen backbone.")
    parser.add_argument(
        "--backbone", required=True, help="hub id or folder; or a class, settings as --backbone.NAME VALUE"
    )
    parser.add_argument("--task", required=True, help="a GLUE task; or of a treebank: pos, relations, heads")
    parser.add_argument("--source", help='folder of the data, "hub" or "microworld" (default: LM_LAB_DATA, else hub)')
    parser.add_argument("--limit", type=int, help="training examples to use")
    parser.add_argument("--max-length", type=int, default=128, help="tokens of the longest text")
    parser.add_argument("--pooling", choices=("cls", "mean", "max", "last"), help="default: the family's")
    parser.add_argument(
        "--pairs", choices=("cross_encoder", "bi_encoder"), default="cross_encoder", help="how pairs are read"
    )
    parser.add_argument("--no-random", action="store_true", help="leave the backbone with random weights out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--out", type=Path, help="CSV file")
    parser.add_argument("--plot", type=Path, help="SVG file, of a treebank's task")
    parser.add_argument(
        "--allow-import", action="append", default=[], metavar="PACKAGE", help="package the backbone may come from"
    )
    return parser

"""`lm-lab doctor`: every check of the contract on a model of one's own."""

import json
from dataclasses import asdict

from jsonargparse import ArgumentParser, Namespace

import lm_lab.strategies  # noqa: F401  the parser finds short class names among what is imported
from lm_lab.backbones.families import Correction
from lm_lab.config.backbones import add_backbone, built
from lm_lab.config.imports import allow_imports
from lm_lab.config.lightning_cli import quiet
from lm_lab.doctor.examine import examine
from lm_lab.doctor.examples import EXAMPLES
from lm_lab.doctor.matrix import matrix
from lm_lab.strategies import AdaptationStrategy


def main(args: list[str]) -> int:
    """Print the matrix of strategies and checks; 1 if a promise is not kept."""
    options = parse(allow_imports(args))
    named = {type(options.strategy).__name__: options.strategy} if options.strategy else EXAMPLES
    with quiet():
        backbone = built(options.backbone, family=options.family)
        results = [row for name, strategy in named.items() for row in examine(backbone, name, strategy)]
    print(json.dumps([asdict(row) for row in results], indent=2) if options.json else matrix(results))
    return 0 if all(row.ok for row in results) else 1


def parser() -> ArgumentParser:
    """What reads its arguments."""
    parser = ArgumentParser(
        "lm-lab doctor", description="Does every strategy keep its promises on this backbone?", exit_on_error=False
    )
    add_backbone(parser)
    parser.add_argument("--family", type=Correction | None, help="a row of a family (docs/backbones.md)")
    parser.add_argument(
        "--strategy",
        type=AdaptationStrategy | None,
        help="one class, with settings as --strategy.NAME VALUE; default: an example of each",
    )
    parser.add_argument("--json", action="store_true", help="print a list of strategy, family, check, ok, detail")
    return parser


def parse(args: list[str]) -> Namespace:
    """The arguments, with the strategy built."""
    made = parser()
    return made.instantiate(made.parse_args(args))

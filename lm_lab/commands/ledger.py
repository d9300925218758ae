"""`lm-lab ledger`: what an adaptation costs in parameters, bytes and operations, without training anything."""

import json

from jsonargparse import ArgumentParser, Namespace

import lm_lab.strategies  # noqa: F401  the parser finds short class names among what is imported
from lm_lab.config.backbones import add_backbone
from lm_lab.config.imports import allow_imports
from lm_lab.config.lightning_cli import quiet
from lm_lab.errors import UsageError
from lm_lab.models.ledger import full_ledger
from lm_lab.strategies import AdaptationStrategy
from lm_lab.tasks import glue_task

_WORDS = {
    "backbone_trained": "trained in the backbone",
    "added": "added to it",
    "head": "head",
    "trained": "trained in all",
    "total": "parameters in all",
    "delta_bytes": "bytes of the saved delta",
    "serve_bytes": "bytes to serve {serve} tasks",
    "inference_flops_ratio": "operations of inference, against the backbone's",
    "merged_flops_ratio": "the same, merged where possible",
}


def main(args: list[str]) -> int:
    """Print the ledger."""
    options = parse(allow_imports(args))
    strategy: AdaptationStrategy = options.strategy
    if options.serve < 1 or (options.length is not None and options.length < 1):
        raise UsageError(f"--serve {options.serve} --length {options.length}: expected 1 or more of each.")
    with quiet():
        counts = full_ledger(options.backbone, strategy, glue_task(options.task), options.serve, options.length)
    if options.json:
        print(json.dumps(counts, indent=2))
        return 0
    print(f"{type(strategy).__name__} on {getattr(options.backbone, 'kind', options.backbone)}, {options.task}")
    for name, words in _WORDS.items():
        value = f"{counts[name]:.3f}" if name.endswith("ratio") else f"{counts[name]:,}"
        print(f"  {words.format(serve=options.serve):<48}{value:>18}")
    return 0


def parser() -> ArgumentParser:
    """What reads its arguments."""
    parser = ArgumentParser(
        "lm-lab ledger", description="What an adaptation costs, without training anything.", exit_on_error=False
    )
    add_backbone(parser)
    parser.add_argument(
        "--strategy", type=AdaptationStrategy, required=True, help="class name; settings as --strategy.NAME VALUE"
    )
    parser.add_argument("--task", type=str, default="sst2", help="gives the head its outputs")
    parser.add_argument("--serve", type=int, default=10, help="how many tasks share the backbone")
    parser.add_argument("--length", type=int | None, help="tokens of a text (default: 128, if there is room)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def parse(args: list[str]) -> Namespace:
    """The arguments, with the strategy built."""
    made = parser()
    return made.instantiate(made.parse_args(args))

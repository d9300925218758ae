"""`lm-lab words fit`: word vectors of a text."""

import argparse
import re
from dataclasses import fields
from pathlib import Path

from lm_lab.errors import UsageError
from lm_lab.words.models import MODELS, Model

# what any model may be told; a setting that it does not have is refused by name
_HELP = {
    "size": "dimensions",
    "window": "words to either side that count as context",
    "min_count": "occurrences below which a word is left out",
    "epochs": "passes over the text",
    "rate": "learning rate at the start",
    "seed": "of everything that is drawn",
    "negatives": "words drawn as noise; 0: hierarchical softmax",
    "subsample": "share of the text above which words are dropped at random; 0: none",
    "noise": "power of the counts that noise is drawn by",
    "shortest": "characters of the shortest n-gram",
    "longest": "characters of the longest n-gram",
    "buckets": "rows that n-grams are hashed into",
    "x_max": "meetings from which a pair weighs 1",
    "power": "of the weight below",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `run` reads."""
    parser.add_argument(
        "source", nargs="+", help="text files, data files, folders of them, hub:NAME; below LM_LAB_DATA too"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder")
    parser.add_argument("--model", choices=tuple(MODELS), default="skip_gram")
    parser.add_argument("--column", default="text", help="of the texts in data files")
    parser.add_argument("--cased", action="store_true", help="leave capitals as they are")
    parser.add_argument("--threads", type=int, default=1, help="several are faster, and no two runs the same")
    kinds = {field.name: field.type for kind in MODELS.values() for field in fields(kind)}
    for name, text in _HELP.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", dest=name, type=kinds[name], help=f"{text} ({_defaults(name)})"
        )


def run(options: argparse.Namespace) -> int:
    """Fit and say where the vectors are."""
    model = _model(options)
    from lm_lab.words import corpus
    from lm_lab.words.fitting import fit

    text = corpus.read(options.source, options.column, not options.cased)
    found = fit(model, text, options.out, options.threads)
    print(
        f"vectors: {options.out}\n{found['vocabulary']:,} words, {found['words']:,} in the text, "
        f"loss {found['loss']:.4f}, {found['seconds']:,.0f} s of training"
    )
    return 0


def _model(options: argparse.Namespace) -> Model:
    kind = MODELS[options.model]
    given = {name: value for name in _HELP if (value := getattr(options, name)) is not None}
    own = {field.name for field in fields(kind)}
    if odd := next((name for name in given if name not in own), None):
        raise UsageError(
            f"--{odd.replace('_', '-')} is no setting of {options.model}; it has {', '.join(sorted(own))}."
        )
    return kind(**given)


def _defaults(name: str) -> str:
    found: dict[str, list[str]] = {}
    for kind in MODELS.values():
        for field in fields(kind):
            if field.name == name:
                found.setdefault(re.sub(r"\.0$", "", str(field.default)), []).append(kind.name)
    return (
        next(iter(found))
        if len(found) == 1
        else "; ".join(f"{value}: {', '.join(kinds)}" for value, kinds in found.items())
    )

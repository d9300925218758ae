"""`lm-lab words fit|nearest|analogy|similarity|plot|convert`: word vectors, and how well they agree with people."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lm_lab.commands import words_fit
from lm_lab.commands.arguments import Arguments
from lm_lab.commands.rows import Rows, arguments, say
from lm_lab.errors import UsageError


def main(args: list[str]) -> int:
    """Run a subcommand."""
    options = parser().parse_args(args)
    for name in ("count", "limit"):
        if (value := getattr(options, name, None)) is not None and value < 1:
            raise UsageError(f"--{name} {value}: expected 1 or more.")
    if options.command == "fit":
        return words_fit.run(options)

    from lm_lab.words import folder, formats

    vectors = folder.load(options.vectors, options.limit)
    if options.command == "convert":
        print(f"vectors: {formats.write(vectors, options.out)}")
        return 0
    if options.command == "plot":
        return _plot(vectors, options)
    rows = _ASKED[options.command](vectors, options)
    say(rows, options, _cell)
    return 0


def _nearest(vectors: Any, options: argparse.Namespace) -> Rows:
    return [{"word": word, "cosine": cosine} for word, cosine in vectors.nearest(options.word, options.count)]


def _analogy(vectors: Any, options: argparse.Namespace) -> Rows:
    if not options.words:
        from lm_lab.words.agreement import analogies

        return [asdict(row) for row in analogies(vectors, options.source)]
    if len(options.words) != 3:
        raise UsageError(f"{' '.join(options.words)}: expected three words, a b c: what is to c as b is to a?")
    return [{"word": word, "cosine": cosine} for word, cosine in vectors.analogy(*options.words, options.count)]


def _similarity(vectors: Any, options: argparse.Namespace) -> Rows:
    from lm_lab.words.agreement import similarities

    return [asdict(row) for row in similarities(vectors, options.source)]


_ASKED = {"nearest": _nearest, "analogy": _analogy, "similarity": _similarity}


def _plot(vectors: Any, options: argparse.Namespace) -> int:
    from lm_lab.words import picture

    drawn = picture.svg(*picture.places(vectors, options.words, options.count))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(drawn, encoding="utf-8")
    print(f"picture: {options.out}")
    return 0


def _cell(name: str, value: Any) -> str:  # noqa: ARG001
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def parser() -> argparse.ArgumentParser:
    """What reads its arguments."""
    parser = Arguments("lm-lab words", description="Word vectors, and how well they agree with people.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    helps = {
        "fit": "vectors of a text: word2vec, GloVe, fastText",
        "nearest": "the words nearest to one",
        "analogy": "what is to c as b is to a; without words, the share of Google's analogies",
        "similarity": "rank correlation with people's scores of pairs of words",
        "plot": "words and their neighbours in a plane",
        "convert": "write them in another form",
    }
    made = {name: commands.add_parser(name, help=text) for name, text in helps.items()}
    words_fit.arguments(made["fit"])
    for name, one in made.items():
        if name == "fit":
            continue
        one.add_argument(
            "vectors", type=Path, help="folder of `fit`, or file: word2vec's text or .bin, .vec, GloVe's text"
        )
        one.add_argument("--limit", type=int, help="take the first so many, the commonest")
        if name in _ASKED:
            arguments(one)
    made["convert"].add_argument("--out", type=Path, required=True, help="file: .bin, or text")
    made["nearest"].add_argument("word")
    made["analogy"].add_argument("words", nargs="*", metavar="a b c")
    made["plot"].add_argument("words", nargs="+", help="whose neighbourhoods are drawn")
    made["plot"].add_argument("--out", type=Path, required=True, help="file (SVG)")
    for name in ("nearest", "analogy", "plot"):
        made[name].add_argument("--count", type=int, default=10, help="how many words")
    for name in ("analogy", "similarity"):
        made[name].add_argument("--source", help="file or folder of the data (default: LM_LAB_DATA)")
    return parser

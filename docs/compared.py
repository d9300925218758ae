"""Write what was measured of backbones into the pages below: `python docs/compared.py`.

A place says what, of a folder of benchmarks/results: `<!-- losses: objectives -->` for the losses of pretraining,
`<!-- scores: objectives -->` for every strategy's average, `<!-- scores: objectives full -->` for the tasks of one
strategy, `<!-- layers: objectives_novels -->` for probes of every layer; each up to `<!-- end -->`. Training losses
with and without pretraining are drawn in docs/images/objectives.
"""

import csv
import json
import math
import re
from pathlib import Path

import measured

from lm_lab.report import text
from lm_lab.report.curves import selected
from lm_lab.report.losses import pictures
from lm_lab.results.records import read_records

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results"
PAGES = tuple(ROOT / "docs" / page for page in ("objectives/comparison.md", "family.md", "trees.md"))
IMAGES = ROOT / "docs/images/objectives"
SUITES = ("objectives", "objectives_novels")
DRAWN = ("mlm", "electra", "random_bert")  # of one architecture, so that only the start differs
GUESSES = ("masked_lm", "generator", "words/masked_lm", "words/word_structure", "loss")  # `loss` sums the parts
RIGHT = ("generator_accuracy", "words/accuracy", "accuracy")
PLACE = re.compile(r"(<!-- (losses|scores|layers): (\w+) ?(\w+)? -->\n).*?(<!-- end -->)", re.DOTALL)
AVERAGE = "average"


def losses(suite: str) -> str:
    """A row an objective: its loss on held-out text where it guesses tokens, and what else it reports."""
    again, first = (RESULTS / suite / name for name in ("pretraining_by_token.json", "pretraining.json"))
    known = json.loads((again if again.exists() else first).read_text(encoding="utf-8"))
    lines = ["| objective | steps | loss | unigram | accuracy | beside it |", "|---|---|---|---|---|---|"]
    for name, facts in known.items():
        found = {key.removeprefix("val/"): value for key, value in facts.items() if key.startswith("val/")}
        guess = next(part for part in GUESSES if part in found)
        right = next(part for part in RIGHT if part in found)
        rest = {part: value for part, value in found.items() if part not in (guess, right, "unigram", "loss")}
        numbers = [f"{facts['steps']:,}", f"{found[guess]:.2f}", f"{found['unigram']:.2f}"]
        beside = ", ".join(f"{part.split('/')[-1]} {value:.2f}" for part, value in rest.items())
        lines.append(f"| `{name}` | {' | '.join(numbers)} | {text.score(found[right])} | {beside} |")
    return "\n".join(lines) + "\n"


def scores(suite: str, strategy: str | None) -> str:
    """A row a backbone, those of random weights in italics: averages by strategy, or one strategy's tasks."""
    found = _rows(suite)
    backbones = dict.fromkeys(row["backbone"] for row in found)
    column, wanted = ("task", ("strategy", strategy)) if strategy else ("strategy", ("task", AVERAGE))
    shown = [row for row in found if row[wanted[0]] == wanted[1]]
    heads = [head for head in dict.fromkeys(row[column] for row in shown) if head != AVERAGE]
    cells = {(row["backbone"], row[column]): row for row in shown}
    lines = [f"| backbone | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for name in backbones:
        values = [_score(cells.get((name, head))) for head in heads]
        if strategy and not any((name, head) in cells for head in heads):
            continue
        control = any(row["control"] for row in shown if row["backbone"] == name)
        lines.append(f"| {f'*{name}*' if control else f'`{name}`'} | {' | '.join(values)} |")
    return "\n".join(lines) + "\n"


def layers(suite: str) -> str:
    """A row a backbone: its score at the embeddings and at every layer, over that of random weights."""
    found = dict[str, list[str]]()
    for path in sorted((RESULTS / suite / "layers").glob("*.csv")):
        with open(path, encoding="utf-8", newline="") as stream:
            found[path.stem] = [
                f"{text.score(float(row['score']))} / {text.score(float(row['random']))}"
                for row in csv.DictReader(stream)
            ]
    deepest = max(len(values) for values in found.values())
    lines = [f"| backbone | embeddings | {' | '.join(str(layer) for layer in range(1, deepest))} |"]
    lines.append(f"|---|{'---|' * deepest}")
    for name, values in found.items():
        lines.append(f"| `{name}` | {' | '.join(values + [''] * (deepest - len(values)))} |")
    return "\n".join(lines) + "\n"


def drawn() -> dict[Path, str]:
    """SVG text by file: loss of full fine-tuning on each task, from pretrained and from random weights."""
    found = {}
    for suite in SUITES:
        records = [r for r in read_records(RESULTS / suite) if r["cell"]["coordinates"]["backbone"] in DRAWN]
        points = [point for point in selected(records) if point.key["strategy"] == "full"]
        points.sort(key=lambda point: DRAWN.index(point.key.backbone))
        for task, svg in pictures(points, records).items():
            start, rest = svg.replace("currentColor", "#3c4043").split(">", 1)
            found[IMAGES / f"{suite}_{task}.svg"] = (
                f'{start}><rect y="-8" width="100%" height="100%" fill="white"/>{rest}\n'
            )
    return found


def filled(page: str) -> str:
    """The page with its tables as the records have them."""
    return PLACE.sub(lambda place: place[1] + _table(place) + place[5], page)


def _table(place: re.Match[str]) -> str:
    if place[2] == "losses":
        return losses(place[3])
    return layers(place[3]) if place[2] == "layers" else scores(place[3], place[4])


def _rows(suite: str) -> list[measured.Row]:
    """Rows of the report's table, in the suite's order of backbones and strategies."""
    plan = json.loads((RESULTS / suite / "suite.json").read_text(encoding="utf-8"))
    orders = [list(plan[part]) for part in ("backbones", "strategies", "tasks")]
    orders[2].append(AVERAGE)
    names = ("backbone", "strategy", "task")
    return sorted(
        measured.rows(RESULTS / suite),
        key=lambda row: [order.index(row[n]) for order, n in zip(orders, names, strict=True)],
    )


def _score(row: measured.Row | None) -> str:
    return measured.score(row) if row and not math.isnan(row["mean"]) else text.NONE


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
    IMAGES.mkdir(exist_ok=True)
    for path, svg in drawn().items():
        path.write_text(svg, encoding="utf-8")

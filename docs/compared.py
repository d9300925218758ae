"""Write what was measured of the objectives into docs/objectives/comparison.md: `python docs/compared.py`.

A place says what, of a folder of benchmarks/results: `<!-- losses: objectives -->` for the losses of pretraining,
`<!-- scores: objectives -->` for every strategy's average, `<!-- scores: objectives full -->` for the tasks of one
strategy; each up to `<!-- end -->`.
"""

import csv
import json
import re
from pathlib import Path

import measured

from lm_lab.benchmark import report_text as text

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results"
PAGE = ROOT / "docs/objectives/comparison.md"
PLACE = re.compile(r"(<!-- (losses|scores): (\w+) ?(\w+)? -->\n).*?(<!-- end -->)", re.DOTALL)
AVERAGE = "average"


def losses(suite: str) -> str:
    """A row an objective: what it read, its loss on held-out text, and that of the unigram baseline."""
    known = json.loads((RESULTS / suite / "pretraining.json").read_text(encoding="utf-8"))
    lines = ["| objective | steps | tokens | loss | unigram | accuracy |", "|---|---|---|---|---|---|"]
    for name, facts in known.items():
        numbers = [f"{facts['steps']:,}", text.count(facts["tokens"])]
        numbers += [f"{facts[f'val/{kind}']:.2f}" for kind in ("loss", "unigram")]
        lines.append(f"| `{name}` | {' | '.join(numbers)} | {_accuracy(facts)} |")
    return "\n".join(lines) + "\n"


def scores(suite: str, strategy: str | None) -> str:
    """A row a backbone, those of random weights in italics: averages by strategy, or one strategy's tasks."""
    found = _rows(suite)
    backbones = dict.fromkeys(row["backbone"] for row in found)
    column, wanted = ("task", ("strategy", strategy)) if strategy else ("strategy", ("task", AVERAGE))
    shown = [row for row in found if row[wanted[0]] == wanted[1]]
    heads = list(dict.fromkeys(row[column] for row in shown))
    cells = {(row["backbone"], row[column]): row for row in shown}
    lines = [f"| backbone | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for name in backbones:
        values = [_score(cells.get((name, head))) for head in heads]
        control = any(row["control"] == "True" for row in shown if row["backbone"] == name)
        lines.append(f"| {f'*{name}*' if control else f'`{name}`'} | {' | '.join(values)} |")
    return "\n".join(lines) + "\n"


def filled(page: str) -> str:
    """The page with its tables as the records have them."""
    return PLACE.sub(lambda place: place[1] + _table(place) + place[5], page)


def _table(place: re.Match[str]) -> str:
    return losses(place[3]) if place[2] == "losses" else scores(place[3], place[4])


def _rows(suite: str) -> list[measured.Row]:
    """measured.Rows of the report's table, in the suite's order of backbones and strategies."""
    plan = json.loads((RESULTS / suite / "suite.json").read_text(encoding="utf-8"))
    with open(RESULTS / suite / "report/results.csv", encoding="utf-8", newline="") as stream:
        found = list(csv.DictReader(stream))
    orders = [list(plan[part]) for part in ("backbones", "strategies", "tasks")]
    orders[2].append(AVERAGE)
    names = ("backbone", "strategy", "task")
    return sorted(found, key=lambda row: [order.index(row[n]) for order, n in zip(orders, names, strict=True)])


def _accuracy(facts: dict[str, float]) -> str:
    return text.score(facts["val/accuracy"]) if "val/accuracy" in facts else text.NONE


def _score(row: measured.Row | None) -> str:
    return measured.score(row) if row and row["mean"] else text.NONE


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

"""Write what benchmarks/squad.yaml scored, in and out of domain, into docs/tasks/squad.md: `python docs/domains.py`."""

import json
import re
from pathlib import Path
from statistics import fmean

from lm_lab.metrics.uncertainty import t_interval
from lm_lab.report import text
from lm_lab.report.curves import Point, selected
from lm_lab.results.records import CellRecord, read_baselines, read_records

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/squad"
PAGE = ROOT / "docs/tasks/squad.md"
PLACE = re.compile(r"(<!-- domains -->\n).*?(<!-- end -->)", re.DOTALL)
DOMAINS = {"squadshifts/new_wiki": "new Wikipedia articles", "squadshifts/nyt": "New York Times"}
SPLITS = ("validation", *DOMAINS)


def table() -> str:
    """A row a strategy: F1 with its interval / exact match, on SQuAD and in each domain, and what the domains cost."""
    records = {record["id"]: record for record in read_records(RESULTS)}
    plan = json.loads((RESULTS / "suite.json").read_text(encoding="utf-8"))
    points = sorted(selected(records.values()), key=lambda point: list(plan["strategies"]).index(point.key["strategy"]))
    lines = [f"| strategy | trained | SQuAD | {' | '.join(DOMAINS.values())} | lost |", "|---|---|---|---|---|---|"]
    lines += [_line(point, [records[cell] for cell in point.cells]) for point in points]
    (baseline,) = read_baselines(RESULTS).values()
    return "\n".join([*lines, f"| {baseline['what']} | | {text.score(baseline['score'])} | | | |"]) + "\n"


def filled(page: str) -> str:
    """The page with its table as the records have it."""
    return PLACE.sub(lambda place: place[1] + table() + place[2], page)


def _line(point: Point, cells: list[CellRecord]) -> str:
    rate = f"{point.tuned['learning_rate']:.0e}".replace("e-0", "e-")
    named = [f"`{point.key['strategy']}`, {rate}", text.percent(point.share)]
    lost = [c["score"]["validation"] - fmean(c["score"][domain] for domain in DOMAINS) for c in cells]
    return f"| {' | '.join([*named, *(_scores(cells, split) for split in SPLITS), _mean(lost)])} |"


def _scores(cells: list[CellRecord], split: str) -> str:
    exact = fmean(cell["details"][split]["exact_match"] for cell in cells)
    return f"{_mean([cell['score'][split] for cell in cells])} / {text.score(exact)}"


def _mean(values: list[float]) -> str:
    return text.plus_minus(t_interval(values))


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

"""Write the scores of benchmarks/strategies.yaml into the strategies' pages: `python docs/measured.py`.

A page says where and which: `<!-- measured: lora lora_all -->`, names of the suite, up to `<!-- end -->`.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lm_lab.report import text
from lm_lab.report.table import all_points, point_row
from lm_lab.results.records import read_records, read_suite

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/strategies"
PAGES = sorted((ROOT / "docs/strategies").glob("*.md"))
TASKS = {"sst2": "SST-2", "mrpc": "MRPC", "stsb": "STS-B", "qqp": "QQP"}
SEEDS = 3  # a task counts once all of them have run
BESIDE = ("full", "probe")  # what every method is compared with
PLACE = re.compile(r"(<!-- measured: ([\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
Row = dict[str, Any]


def rows(results: Path) -> list[Row]:
    """Rows of the report's table, `results.csv`."""
    return [point_row(point) for point in all_points(read_records(results), read_suite(results))]


def scores(results: Path = RESULTS) -> dict[str, dict[str, Row]]:
    """Rows of the report's table by strategy and task."""
    found: dict[str, dict[str, Row]] = {}
    for row in rows(results):
        found.setdefault(row["strategy"], {})[row["task"]] = row
    return found


def table(names: Iterable[str], found: dict[str, dict[str, Row]]) -> str:
    """A row a strategy of the page, then those that it is compared with."""
    names = list(names)
    wanted = [*names, *(name for name in BESIDE if name not in names)]
    tasks = [task for task in TASKS if all(found[name].get(task, {}).get("seeds") == SEEDS for name in wanted)]
    head = f"| | {' | '.join(TASKS[task] for task in tasks)} | trained |\n|---|{'---|' * len(tasks)}---|\n"
    return head + "".join(_line(name, found[name], tasks) for name in wanted)


def _line(name: str, of_tasks: dict[str, Row], tasks: Iterable[str]) -> str:
    cells = [score(of_tasks[task]) for task in tasks]
    share = max(row["trained_share"] for row in of_tasks.values())
    return f"| `{name}` | {' | '.join(cells)} | {text.percent(share)} |\n"


def score(row: Row) -> str:
    """The mean with its interval, which ends where the scale does."""
    below, above = text.score(row["mean"] - row["low"]), text.score(row["high"] - row["mean"])
    return f"{text.score(row['mean'])} {text.around(below, above)}"


def filled(page: str, found: dict[str, dict[str, Row]]) -> str:
    """The page with its table as the records have it."""
    return PLACE.sub(lambda place: place[1] + table(place[2].split(), found) + place[3], page)


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(filled(path.read_text(encoding="utf-8"), scores()), encoding="utf-8")

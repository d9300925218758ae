"""What a record holds beside its score: further metrics, and scores on other domains, which nothing was trained on."""

from collections.abc import Mapping, Sequence
from html import escape
from statistics import fmean

from lm_lab.report import text
from lm_lab.report.curves import Point
from lm_lab.report.sections import Data, table
from lm_lab.results.records import AVERAGE, CellRecord, domains_of

Cells = Mapping[str, CellRecord]


def details(points: Sequence[Point], records: Sequence[CellRecord]) -> str:
    """A row a point, a column a metric that does not count into the score; "" if no task has any."""
    cells = {record["id"]: record for record in records}
    shown = [point for point in _tasks(points) if _names(point, cells)]
    names = list(dict.fromkeys(name for point in shown for name in _names(point, cells)))
    body = [(_row(point, [_mean(point, cells, name) for name in names]), "") for point in shown]
    return table(["strategy", "backbone", "task", *(name.replace("_", " ") for name in names)], body) if body else ""


def domains(points: Sequence[Point], records: Sequence[CellRecord]) -> str:
    """A row a point: the score in its own domain and in each other one, and the mean drop; "" if there is none."""
    cells = {record["id"]: record for record in records}
    shown = [point for point in _tasks(points) if point.cells and domains_of(cells[point.cells[0]])]
    if not shown:
        return ""
    names = list(dict.fromkeys(name for point in shown for name in domains_of(cells[point.cells[0]])))
    body = []
    for point in shown:
        found = [_domain(point, cells, name) for name in names]
        known = [score for score in found if score is not None]
        body.append((_row(point, [point.mean, *found, fmean(known) - point.mean], signed_last=True), ""))
    return table(["strategy", "backbone", "task", "own domain", *names, "mean change"], body)


def _tasks(points: Sequence[Point]) -> list[Point]:
    return [point for point in points if point.task != AVERAGE and point.scores]


def _names(point: Point, cells: Cells) -> list[str]:
    return list(cells[point.cells[0]].get("details", {}).get("validation", {}))


def _mean(point: Point, cells: Cells, name: str) -> float | None:
    values = [cells[cell].get("details", {}).get("validation", {}).get(name) for cell in point.cells]
    return fmean(value for value in values if value is not None) if None not in values else None


def _domain(point: Point, cells: Cells, name: str) -> float | None:
    values = [cells[cell]["score"].get(name) for cell in point.cells]
    return fmean(value for value in values if value is not None) if None not in values else None


def _row(point: Point, values: Sequence[float | None], signed_last: bool = False) -> list[Data]:
    named = [Data(escape(word), css="word") for word in (point.key.method.label, point.key.backbone, point.task)]
    signs = [False] * (len(values) - 1) + [signed_last]
    numbers = [
        Data("", -1.0) if value is None else Data(text.score(value, signed=sign), value)
        for value, sign in zip(values, signs, strict=True)
    ]
    return [*named, *numbers]

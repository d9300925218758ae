"""The results as rows and columns: the terminal's table and the two CSV files, from the same points."""

import csv
import io
import math
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from lm_lab.metrics.uncertainty import Interval, welch_p
from lm_lab.report import text
from lm_lab.report.curves import Point, average, mixes_compiled, selected, shared_tasks
from lm_lab.results.coordinates import Coordinates, axis_columns, coordinates
from lm_lab.results.records import AVERAGE, Baseline, CellRecord, Scan, read_baselines, read_suite, scan

MARK = "*"  # of `best`
BEST = f"{MARK} best of its column, or not significantly different from it and as well measured"
_NEAR = 0.01  # of a mean that is as good as the best, however wide its interval
BASELINE = "baseline"  # of lm_lab/benchmark/baselines.py
_LEDGER = ("backbone_trained", "added", "head", "trained", "total", "delta_bytes")


def all_points(records: Iterable[CellRecord], suite: Mapping[str, Any]) -> list[Point]:
    """Return the selected points of every task followed by the averages."""
    points = selected(records, suite.get("seeds", ()))
    return points + average(points)


def rows(points: Iterable[Point]) -> dict[Coordinates, dict[str, Point]]:
    """Return for each (backbone, strategy, size) its points by task; fewest trained parameters first."""
    found: dict[Coordinates, dict[str, Point]] = {}
    for point in points:
        found.setdefault(point.key, {})[point.task] = point
    return dict(sorted(found.items(), key=lambda item: _row_order(item[1])))


def columns(points: Iterable[Point]) -> list[str]:
    """Return the tasks by name, the average last where there is one."""
    tasks = {point.task for point in points}
    return [*sorted(tasks - {AVERAGE}), *(tasks & {AVERAGE})]


def best(points: Iterable[Point]) -> set[tuple[Coordinates, str]]:
    """Return the (key, task) that have a column's best mean, or do not differ significantly from it and are as well
    measured: by Welch's t-test over seeds at 5%; as many seeds, and an interval that is no wider, or a mean within a
    point of it. A run that fell over has a wide interval, which is no merit.
    """
    points = [p for p in points if p.scores and not p.control]
    marked: set[tuple[Coordinates, str]] = set()
    for task in columns(points):
        column = [p for p in points if p.task == task]
        top = max(column, key=lambda p: p.mean)
        marked.update((p.key, task) for p in column if p is top or _as_good(p.interval, top.interval))
    return marked


def _as_good(one: Interval, top: Interval) -> bool:
    sure = one.half <= top.half or top.mean - one.mean <= _NEAR
    return one.n >= top.n and sure and welch_p(one, top) > 0.05


def baseline_scores(points: Sequence[Point], known: Mapping[str, Baseline]) -> dict[str, float]:
    """Return the baselines' scores of the tasks of `points`, and of their average where every task has one."""
    found = {task: known[task]["score"] for task in columns(points) if task in known}
    averaged = shared_tasks(points)
    if len(found) > 1 and averaged and all(task in found for task in averaged):
        found[AVERAGE] = fmean(found[task] for task in averaged)
    return found


def baselines_line(points: Sequence[Point], known: Mapping[str, Baseline]) -> str:
    """Return a line that says what the baseline of each task is."""
    named = (f"{task}: {known[task]['what']}" for task in columns(points) if task in known)
    return f"baselines: {'; '.join(named)}"


def terminal_table(root: Path, found: Scan | None = None, points: Sequence[Point] | None = None) -> str:
    """Return the results table as text: rich's in a terminal, tab-aligned plain columns elsewhere.

    `found` is what `root` holds, and `points` what it gives, where the caller has them.
    """
    suite, found = read_suite(root), found or scan(root)
    points = all_points(found.records, suite) if points is None else points
    header, body = _cells(points)
    lines = [*progress(found.records, found.broken, suite), BEST]
    if known := read_baselines(root):
        scored = baseline_scores(points, known)
        scores = (text.score(scored[task]) if task in scored else text.NONE for task in header[1:-2])
        body.append([BASELINE, *scores, text.NONE, text.NONE])
        lines.append(baselines_line(points, known))
    if not sys.stdout.isatty():
        return "\n".join([*_plain([header, *body]), *lines])
    return _rich(header, body, suite.get("name", root.name)) + "\n".join(lines)


def progress(records: Sequence[CellRecord], broken: Sequence[str], suite: Mapping[str, Any]) -> list[str]:
    """Return a line of counts, and one for each file that cannot be read."""
    status = [record["status"] for record in records]
    planned = suite.get("planned_cells", len(records))
    parts = [f"{status.count('done')} of {planned} cells done"]
    parts += [f"{status.count(name)} {name}" for name in ("failed", "diverged") if name in status]
    if (left := planned - len(records)) > 0:
        parts.append(f"{left} not run yet")
    return [", ".join(parts), *(f"unreadable: {line}" for line in broken)]


def results_csv(points: Iterable[Point]) -> str:
    """Return a row a point; scores are fractions, seeds and learning rates as they are."""
    return _csv(point_row(point) for point in points)


def cells_csv(records: Iterable[CellRecord]) -> str:
    """Return a row a cell, failed ones included."""
    return _csv(cell_row(record) for record in records)


def point_row(point: Point) -> dict[str, Any]:
    """Return a point as a flat row; the same columns for every point."""
    key, interval = point.key, point.interval
    row: dict[str, Any] = {**axis_columns(key), "task": point.task, "control": point.control}
    row |= {"mean": interval.mean, "std": interval.std, "low": interval.low, "high": interval.high}
    row |= {"seeds": interval.n, "missing_seeds": " ".join(map(str, point.missing)), "failed": point.failed}
    row |= {"tuned": text.setting(point.tuned), "trained_share": point.share}
    row |= {name: point.ledger.get(name, math.nan) for name in _LEDGER}
    return row | {
        "train_seconds": point.train_seconds,
        "compiled": point.compiled,
        "peak_bytes": point.peak_bytes,
        "notes": "; ".join(point.notes),
    }


def _row_order(by_task: Mapping[str, Point]) -> tuple[Any, ...]:
    point = by_task.get(AVERAGE) or next(iter(by_task.values()))
    trained = point.trained()
    return point.control, point.key.backbone, math.inf if math.isnan(trained) else trained


def _cells(points: Sequence[Point]) -> tuple[list[str], list[list[str]]]:
    tasks, marked = columns(points), best(points)
    backbones, mixed = {p.key.backbone for p in points}, mixes_compiled(points)
    body = []
    for key, by_task in rows(points).items():
        any_point = by_task.get(AVERAGE) or next(iter(by_task.values()))
        label = key.method.label + (f" · {key.backbone}" if len(backbones) > 1 else "")
        compiled = f" ({any_point.compiled})" if mixed and any_point.compiled else ""
        scores = [_score(by_task.get(task), (key, task) in marked) for task in tasks]
        share, minutes = text.percent(any_point.share), f"{any_point.train_seconds / 60:.2g}"
        body.append([label, *scores, share, minutes.replace("nan", text.NONE) + compiled])
    return ["strategy", *tasks, "trained", "minutes"], body


def _score(point: Point | None, marked: bool) -> str:
    if point is None:
        return text.NONE
    if not point.scores:
        return f"{point.failed} failed" if point.failed else text.NONE
    return text.plus_minus(point.interval) + (f" {MARK}" if marked else "") + (" ?" if point.missing else "")


def _plain(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in table]


def _rich(header: Sequence[str], body: Sequence[Sequence[str]], title: str) -> str:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", header_style="bold")
    for index, column in enumerate(header):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    for row in body:
        table.add_row(*row)
    width = max(shutil.get_terminal_size().columns, 80)
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


def cell_row(record: CellRecord) -> dict[str, Any]:
    """Return a cell as a flat row; None for what is not known of it."""
    cell = record["cell"]
    at = axis_columns(coordinates(cell)) | {"tuned": text.setting(cell["tuned"])}
    at |= {"seed": cell["seed"], "control": cell["control"], "race": cell.get("race")}
    row = {"id": record["id"], "status": record["status"], "reason": record.get("reason"), **dict(sorted(at.items()))}
    score, ledger, clocks = (record.get(name, {}) for name in ("score", "ledger", "clocks"))
    row |= {f"score_{split}": score.get(split) for split in ("validation", "selection")}  # type: ignore[attr-defined]
    row |= {name: ledger.get(name) for name in _LEDGER}  # type: ignore[attr-defined]
    row |= {name: clocks.get(name) for name in ("train_seconds", "total_seconds", "steps")}  # type: ignore[attr-defined]
    row["compiled"] = record.get("hardware", {}).get("compiled")
    return row | {"peak_bytes": record.get("memory", {}).get("train_peak_bytes")}


def _csv(listed: Iterable[dict[str, Any]]) -> str:
    every = list(listed)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(every[0]) if every else ["id"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(every)
    return stream.getvalue()

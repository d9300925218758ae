"""Compares every point with full fine-tuning in the same place: the backbone, and what else a suite varies.

From the stored predictions, paired by example (the same resamples for all strategies of a task), over examples and
seeds; the p-values of one place and one task (or the average) are one family for Holm's correction. Before a prediction
file is used its score is computed again and must be the recorded one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lm_lab.errors import UsageError
from lm_lab.metrics import METRICS, Array, Metric, score
from lm_lab.metrics.uncertainty import DRAWS, Difference, Resampled, average_difference, holm, resample
from lm_lab.report.curves import Point, shared_tasks
from lm_lab.report.figures import references
from lm_lab.results.coordinates import Coordinates
from lm_lab.results.predictions import Predictions, read_predictions
from lm_lab.results.records import AVERAGE, CellRecord, domains_of

Parts = Mapping[tuple[Coordinates, str], Resampled]
_TOLERANCE = 1e-4  # the recorded score may be of single-precision sums


@dataclass(frozen=True)
class Comparison:
    """A strategy's score minus full fine-tuning's on one task or on the average."""

    key: Coordinates
    task: str
    difference: Difference
    p_holm: float
    seeds: tuple[int, int]  # how many of each; of an average, on the task that has the fewest


def compare(
    root: Path, points: Sequence[Point], records: Iterable[CellRecord], draws: int = DRAWS
) -> tuple[list[Comparison], list[str]]:
    """Return the comparisons of every point with full fine-tuning, and why any could not be made."""
    by_id = {record["id"]: record for record in records}
    tasks = sorted({p.task for p in points if p.task != AVERAGE})
    resampled: dict[tuple[Coordinates, str], Resampled] = {}
    problems = []
    scored = [p for p in points if p.task != AVERAGE and p.scores]
    for point in sorted(scored, key=lambda p: p.task):  # a task's points share its resamples
        try:
            resampled[point.key, point.task] = _resample_point(root, point, by_id, draws, tasks.index(point.task))
        except UsageError as error:
            problems.append(f"{point.key.label}, {point.task}: {error}")
    return _compare_all(points, resampled), problems


def _compare_all(points: Sequence[Point], resampled: Parts) -> list[Comparison]:
    full = references(points)
    averaged = shared_tasks(points)
    found = []
    for reference in dict.fromkeys(p.key for p in points if p.key in full):
        for task in dict.fromkeys(p.task for p in points):
            family = [p for p in points if p.key.place == reference.place and p.task == task]
            tasks = averaged if task == AVERAGE else (task,)
            found += _family([p for p in family if p.key != reference], reference, tasks, resampled)
    return found


def _family(members: Sequence[Point], full: Coordinates, tasks: Sequence[str], resampled: Parts) -> list[Comparison]:
    """The comparisons of one place on one task, or on the average of `tasks`."""
    found = []
    for point in members:
        if all((key, task) in resampled for key in (point.key, full) for task in tasks):
            pairs = [(resampled[point.key, task], resampled[full, task]) for task in tasks]
            gap = average_difference(pairs)
            seeds = min(len(a.scores) for a, _ in pairs), min(len(b.scores) for _, b in pairs)
            found.append(Comparison(point.key, point.task, gap, gap.p, seeds))
    adjusted = holm([each.difference.p for each in found])
    return [replace(each, p_holm=p) for each, p in zip(found, adjusted, strict=True)]


def _resample_point(root: Path, point: Point, by_id: Mapping[str, Any], draws: int, stream: int) -> Resampled:
    """Return the task's score resampled: the mean of its metrics, each over its own split's examples."""
    others = domains_of(by_id[point.cells[0]])
    tables = [_validation(read_predictions(root, cell, by_id[cell].get("predictions")), others) for cell in point.cells]
    first = tables[0]
    for table in tables[1:]:
        if not np.array_equal(table.id, first.id) or not np.array_equal(table.split, first.split):
            raise UsageError("the seeds' predictions are of different examples; run these cells again.")
    parts = []
    for key in by_id[point.cells[0]]["scores"]["validation"]:
        metric, rows = _metric_rows(key, first)
        answers = np.stack([table.prediction[rows] for table in tables])
        parts.append((METRICS[metric], answers, first.label[rows]))
    scores = _scores(parts)
    if not np.allclose(scores, list(point.scores.values()), atol=_TOLERANCE):
        raise UsageError(f"the predictions give {scores.tolist()}, the records say {list(point.scores.values())}.")
    drawn = [resample(answers, labels, metric, draws, stream) for metric, answers, labels in parts]
    return Resampled(scores, np.mean([each.draws for each in drawn], axis=0))


def _scores(parts: Sequence[tuple[Metric, Array, Array]]) -> Array:
    """The mean of the metrics for each seed (s,), computed from predictions that may be damaged."""
    try:
        with np.errstate(all="ignore"):
            found: Array = np.mean(
                [[score(f, each, labels) for each in answers] for f, answers, labels in parts], axis=0
            )
    except (ArithmeticError, ValueError, IndexError, TypeError) as error:
        raise UsageError(f"the predictions cannot be scored ({error}); run these cells again.") from error
    return found


def _validation(table: Predictions, domains: Sequence[str]) -> Predictions:
    """The reported rows: all but held-out ones and other domains; a suite may report another split, such as `test`."""
    kept = ~np.isin(table.split, ["selection", *domains]) & ~np.isnan(table.label)
    order = np.lexsort((table.id[kept], table.split[kept]))
    rows = np.flatnonzero(kept)[order]
    return Predictions(table.split[rows], table.id[rows], table.prediction[rows], table.label[rows])


def _metric_rows(key: str, table: Predictions) -> tuple[str, NDArray[np.bool_]]:
    """Return the metric's name and the rows it is of: "accuracy_matched" is of the split "..._matched"."""
    if key in METRICS:
        return key, np.ones(len(table.id), dtype=bool)
    metric, _, suffix = key.rpartition("_")
    rows = np.char.endswith(table.split, f"_{suffix}")
    if metric not in METRICS or not rows.any():
        raise UsageError(f"metric {key!r} cannot be recomputed; known: {', '.join(METRICS)}.")
    return metric, rows

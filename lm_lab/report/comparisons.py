"""Compares every point with full fine-tuning in the same place: the backbone, and what else a suite varies.

From the stored predictions, paired by example (the same resamples for all strategies of a task), over examples and
seeds; the p-values of one place and one task (or the average) are one family for Holm's correction. Before a prediction
file is used its score is computed again and must be the recorded one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lm_lab.errors import UsageError
from lm_lab.metrics import METRICS, Array, Metric, score
from lm_lab.metrics.uncertainty import DRAWS, Difference, Resampled, average_difference, holm
from lm_lab.metrics.weighted import resamples
from lm_lab.report.curves import Point, shared_tasks
from lm_lab.report.figures import references
from lm_lab.results.coordinates import Coordinates
from lm_lab.results.predictions import Predictions, read_predictions
from lm_lab.results.records import AVERAGE, CellRecord, domains_of

Parts = Mapping[tuple[Coordinates, str], Resampled]
_BATCH = 2**19  # numbers that are resampled at once
_TOLERANCE = 1e-4  # the recorded score may be of single-precision sums


class Part(NamedTuple):
    """What a metric is computed from."""

    metric: Metric
    answers: Array  # (s, n) or (s, n, k)
    labels: Array  # (n,)


class Answers(NamedTuple):
    """Of a point's seeds on its task."""

    key: Coordinates
    scores: Array  # (s,)
    parts: list[Part]  # one a metric


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
    problems: list[str] = []
    for stream, task in enumerate(tasks):
        scored = [p for p in points if p.task == task and p.scores]
        for batch in _batches(_read(root, scored, by_id, problems)):
            resampled |= {(each.key, task): drawn for each, drawn in _resampled(batch, draws, stream)}
    return _compare_all(points, resampled), problems


def _read(root: Path, points: Iterable[Point], by_id: Mapping[str, Any], problems: list[str]) -> Iterator[Answers]:
    rows = _Rows()
    for point in points:
        try:
            yield _answers(root, point, by_id, rows)
        except UsageError as error:
            problems.append(f"{point.key.label}, {point.task}: {error}")


def _batches(found: Iterable[Answers]) -> Iterator[list[Answers]]:
    """Neighbours with the same metrics and labels: one product of matrices resamples all of them."""
    batch: list[Answers] = []
    for each in found:
        numbers = sum(part.answers.size for one in (*batch, each) for part in one.parts)
        if batch and (numbers > _BATCH or not _alike(batch[0], each)):
            yield batch
            batch = []
        batch.append(each)
    yield from [batch] if batch else []


def _alike(one: Answers, other: Answers) -> bool:
    if len(one.parts) != len(other.parts):
        return False
    pairs = zip(one.parts, other.parts, strict=True)
    return all(
        a.metric is b.metric
        and a.answers.shape[2:] == b.answers.shape[2:]
        and (a.labels is b.labels or np.array_equal(a.labels, b.labels))
        for a, b in pairs
    )


def _resampled(batch: Sequence[Answers], draws: int, stream: int) -> Iterator[tuple[Answers, Resampled]]:
    """Each one's scores with those of every resample, the mean of its metrics, each over its own split's examples."""
    drawn = []
    for index, (metric, _, labels) in enumerate(batch[0].parts):
        answers = np.concatenate([each.parts[index].answers for each in batch])
        drawn.append(resamples(len(labels), draws, stream).scores(metric, answers, labels))
    means = np.mean(drawn, axis=0)
    ends = np.cumsum([len(each.scores) for each in batch])[:-1]
    for each, part in zip(batch, np.split(means, ends, axis=1), strict=True):
        yield each, Resampled(each.scores, np.ascontiguousarray(part))


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


def _answers(root: Path, point: Point, by_id: Mapping[str, Any], rows: "_Rows") -> Answers:
    """What the seeds of a point answered; raises `UsageError` unless that gives the recorded scores."""
    others = domains_of(by_id[point.cells[0]])
    read = (read_predictions(root, cell, by_id[cell].get("predictions")) for cell in point.cells)
    tables = [rows.of(table, others) for table in read]
    first = tables[0]
    for table in tables[1:]:
        if table.id is not first.id and not (
            np.array_equal(table.id, first.id) and np.array_equal(table.split, first.split)
        ):
            raise UsageError("the seeds' predictions are of different examples; run these cells again.")
    parts = []
    for key in by_id[point.cells[0]]["scores"]["validation"]:
        metric, chosen = _metric_rows(key, first)
        answers = np.stack([table.prediction[chosen] for table in tables])
        parts.append(Part(METRICS[metric], answers, first.label[chosen]))
    scores = _scores(parts)
    if not np.allclose(scores, list(point.scores.values()), atol=_TOLERANCE):
        raise UsageError(f"the predictions give {scores.tolist()}, the records say {list(point.scores.values())}.")
    return Answers(point.key, scores, parts)


def _scores(parts: Sequence[Part]) -> Array:
    """The mean of the metrics for each seed (s,), computed from predictions that may be damaged."""
    try:
        with np.errstate(all="ignore"):
            found: Array = np.mean(
                [[score(f, each, labels) for each in answers] for f, answers, labels in parts], axis=0
            )
    except (ArithmeticError, ValueError, IndexError, TypeError) as error:
        raise UsageError(f"the predictions cannot be scored ({error}); run these cells again.") from error
    return found


class _Rows:
    """The reported rows of a table: all but held-out ones and other domains; a suite may report another split, such as
    `test`. The tables of a task hold the same examples, so which rows these are is worked out once for all of them.
    """

    def __init__(self) -> None:
        self._last: tuple[Predictions, list[str]] | None = None
        self._chosen: NDArray[np.intp] = np.empty(0, dtype=np.intp)
        self._kept: Predictions | None = None

    def of(self, table: Predictions, domains: list[str]) -> Predictions:
        """Those rows, by split and id."""
        if self._kept is None or not self._same(table, domains):
            kept = ~np.isin(table.split, ["selection", *domains]) & ~np.isnan(table.label)
            order = np.lexsort((table.id[kept], table.split[kept]))
            self._chosen, self._last = np.flatnonzero(kept)[order], (table, domains)
            named = {name: column[self._chosen] for name, column in table._asdict().items()}
            self._kept = Predictions(**named)
        return self._kept._replace(prediction=table.prediction[self._chosen])

    def _same(self, table: Predictions, domains: list[str]) -> bool:
        assert self._last is not None
        last, others = self._last
        pairs = ((table.id, last.id), (table.split, last.split))
        alike = domains == others and all(np.array_equal(a, b) for a, b in pairs)
        return alike and np.array_equal(table.label, last.label, equal_nan=True)


def _metric_rows(key: str, table: Predictions) -> tuple[str, NDArray[np.bool_]]:
    """Return the metric's name and the rows it is of: "accuracy_matched" is of the split "..._matched"."""
    if key in METRICS:
        return key, np.ones(len(table.id), dtype=bool)
    metric, _, suffix = key.rpartition("_")
    rows = np.char.endswith(table.split, f"_{suffix}")
    if metric not in METRICS or not rows.any():
        raise UsageError(f"metric {key!r} cannot be recomputed; known: {', '.join(METRICS)}.")
    return metric, rows

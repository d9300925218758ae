"""From cell records to points and curves: what the tuned value that won (`selection.py`) scored over the seeds.

What a point reports is the *validation* score of the winner over all its seeds. Nothing is dropped: failures, missing
seeds and refusals stay on the point.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Any

from lm_lab.metrics import lowest
from lm_lab.metrics.uncertainty import Interval, average_interval, t_interval
from lm_lab.report.families import OWN, family
from lm_lab.results.coordinates import TASK, Coordinates, coordinates
from lm_lab.results.records import AVERAGE, CellRecord
from lm_lab.results.selection import Candidate, choose, considered, on_edge

_FEW = 3
IN_PART = "compiled in part"


@dataclass(frozen=True)
class Point:
    """A point of a trade-off curve. Scores are fractions (1 = perfect); `scores` maps a seed to validation."""

    key: Coordinates  # all but the task
    task: str
    control: bool
    tuned: Mapping[str, Any]
    scores: Mapping[int, float]
    interval: Interval  # of the mean over seeds, Student's t; of an average, over tasks and seeds
    ledger: Mapping[str, float]
    train_seconds: float  # without evaluation, median over seeds that trained alone; see `training_seconds`
    peak_bytes: float  # of these too; both are nan where every run was packed
    machines: frozenset[str]  # that the finished cells ran on: times of several do not compare
    cells: tuple[str, ...]  # ids of the winner's finished cells, in the order of `scores`
    candidates: tuple[Candidate, ...]
    failed: int  # cells that failed or diverged, over all candidates
    missing: tuple[int, ...]  # seeds of the suite without a finished cell of the winner
    notes: tuple[str, ...]
    family: str = OWN  # what kind of strategy it is
    compiled: str = ""  # or "compiled", "compiled in part": whose times and memory these are

    @property
    def mean(self) -> float:
        """Mean validation score over the seeds; NaN when no cell finished."""
        return self.interval.mean

    def trained(self, head: bool = True) -> float:
        """Trained parameters, with or without the task's head."""
        return self.ledger.get("trained", math.nan) - (0 if head else self.ledger.get("head", 0))

    @property
    def share(self) -> float:
        """Trained parameters, head included, over all parameters."""
        return self.trained() / self.ledger.get("total", math.nan)


def training_seconds(record: CellRecord) -> float:
    """Seconds of training: of the wall on a GPU, of the processor on a CPU, where a neighbour cannot stretch them."""
    on_gpu = record.get("hardware", {}).get("gpu") is not None
    clocks = record["clocks"]
    return clocks["train_seconds"] if on_gpu else clocks.get("train_cpu_seconds", clocks["train_seconds"])


def selected(records: Iterable[CellRecord], seeds: Sequence[int] = ()) -> list[Point]:
    """Apply the selection protocol: one point for each coordinates that have a record.

    `seeds` are the suite's; those without a finished cell of the winner are listed in `Point.missing`.
    """
    groups: dict[tuple[Coordinates, str], list[CellRecord]] = defaultdict(list)
    for record in records:
        at = coordinates(record["cell"])
        groups[at.without(TASK), str(at[TASK])].append(record)
    return [_point(key, task, group, seeds) for (key, task), group in groups.items()]


def shared_tasks(points: Iterable[Point]) -> tuple[str, ...]:
    """Return the tasks on which every combination of the other coordinates with any score has one."""
    scored: dict[Coordinates, dict[str, None]] = defaultdict(dict)
    for point in points:
        if point.scores and point.task != AVERAGE:
            scored[point.key][point.task] = None
    if not scored:
        return ()
    first, *others = scored.values()
    return tuple(task for task in first if all(task in other for other in others))


def compares_backbones(points: Iterable[Point]) -> bool:
    """True for a suite that asks what to start from rather than how to adapt: more than three pretrained backbones."""
    return len({point.key.backbone for point in points if not point.control}) > _FEW


def mixes_compiled(points: Iterable[Point]) -> bool:
    """True where some points' times are of compiled training and others' are not: they do not compare unmarked."""
    return len({point.compiled for point in points if not math.isnan(point.train_seconds)}) > 1


def average(points: Iterable[Point]) -> list[Point]:
    """Return a macro average over the shared tasks for each combination of the other coordinates, as GLUE defines it.

    It is the plain mean of the tasks' means, each over all of its seeds; `scores` are of the seeds that every task has,
    to be drawn. Counts, bytes, seconds and memory are means over the tasks, so all of them are "for one task". One task
    has no average.
    """
    points = list(points)
    if len({point.task for point in points}) < 2:
        return []
    tasks = shared_tasks(points)
    groups: dict[Coordinates, list[Point]] = defaultdict(list)
    for point in points:
        if point.task in tasks:
            groups[point.key].append(point)
    return [_average(group) for group in groups.values() if all(point.scores for point in group)]


def curves(points: Iterable[Point], task: str) -> dict[tuple[str, str], list[Point]]:
    """Group one task's points by backbone and what else varies but the size; each sorted by trained parameters."""
    groups: dict[tuple[str, str], list[Point]] = defaultdict(list)
    for point in points:
        if point.task == task and point.scores:
            groups[point.key.backbone, point.key.line.label].append(point)
    return {key: sorted(group, key=Point.trained) for key, group in groups.items()}


def _point(key: Coordinates, task: str, group: list[CellRecord], seeds: Sequence[int]) -> Point:
    options = considered(group)
    winner = choose(options)
    tuned = winner.tuned if winner else {}
    whole = [r for r in group if "race" not in r["cell"] and r["status"] == "done"]
    finished = [r for r in whole if winner and r["cell"]["tuned"] == tuned]
    finished.sort(key=lambda r: r["cell"]["seed"])
    clocked = [r for r in finished if not r.get("packed_with")]  # of a pack, time and memory are those of all its runs
    scores = {r["cell"]["seed"]: r["score"]["validation"] for r in finished}
    missing = tuple(seed for seed in seeds if seed not in scores)
    return Point(
        key=key,
        task=task,
        control=group[0]["cell"]["control"],
        tuned=tuned,
        scores=scores,
        interval=t_interval(list(scores.values())).within(*_scale(finished)),
        ledger=dict(finished[0]["ledger"]) if finished else {},
        train_seconds=_median(training_seconds(r) for r in clocked),
        peak_bytes=_median(r["memory"]["train_peak_bytes"] for r in clocked),
        machines=frozenset(_machine(r.get("hardware", {})) for r in finished),
        cells=tuple(r["id"] for r in finished),
        candidates=options,
        failed=sum(option.failed for option in options),
        missing=missing,
        notes=tuple(_notes(winner, options, missing)),
        family=family(group[0]),
        compiled=_compiled({bool(r.get("hardware", {}).get("compiled")) for r in clocked}),
    )


def _notes(winner: Candidate | None, options: Sequence[Candidate], missing: Sequence[int]) -> Iterable[str]:
    if winner is None:
        yield "nothing selected: no tuned value has a selection score on the seeds that all share"
        return
    if blind := [o.tuned for o in options if len(options) > 1 and len(o.selection) < len(o.seeds) - o.failed]:
        yield f"without a selection score, so not in the choice: {'; '.join(map(str, blind))}"
    if behind := [option for option in options if option.race]:
        yield f"behind after {behind[0].race:.0%} of training: {'; '.join(str(option.tuned) for option in behind)}"
    if edge := on_edge(options, winner.tuned):
        yield f"selected {', '.join(edge)} is on the edge of its grid"
    if missing:
        yield f"missing seeds {', '.join(map(str, missing))}"


def _average(group: Sequence[Point]) -> Point:
    seeds = set.intersection(*(set(point.scores) for point in group))
    scores = {seed: fmean(point.scores[seed] for point in group) for seed in sorted(seeds)}
    names = set.intersection(*(set(point.ledger) for point in group))
    return replace(
        group[0],
        task=AVERAGE,
        tuned={},
        scores=scores,
        interval=average_interval([list(point.scores.values()) for point in group]).within(*_ends(group)),
        ledger={name: fmean(point.ledger[name] for point in group) for name in names},
        train_seconds=fmean(point.train_seconds for point in group),
        peak_bytes=fmean(point.peak_bytes for point in group),
        machines=frozenset().union(*(point.machines for point in group)),
        compiled=group[0].compiled if len({point.compiled for point in group}) == 1 else IN_PART,
        cells=(),
        candidates=(),
        failed=sum(point.failed for point in group),
        missing=tuple(sorted({seed for point in group for seed in point.missing})),
        notes=(f"average over {', '.join(point.task for point in group)}",),
    )


def _scale(records: Sequence[CellRecord]) -> tuple[float, float]:
    """The least and the most that a task's score, the mean of its metrics, can be."""
    names = records[0].get("scores", {}).get("validation", {}) if records else {}
    return fmean(map(lowest, names)) if names else 0.0, 1.0


def _ends(group: Sequence[Point]) -> tuple[float, float]:
    return fmean(point.interval.least for point in group), fmean(point.interval.most for point in group)


def _compiled(found: Collection[bool]) -> str:
    return "compiled" if found == {True} else IN_PART if True in found else ""


def _machine(hardware: Mapping[str, Any]) -> str:
    return ", ".join(
        str(hardware.get(name) or None) for name in ("gpu", "cpu", "cores", "threads", "precision", "compiled")
    )


def _median(values: Iterable[float]) -> float:
    return median(listed) if (listed := list(values)) else math.nan

"""What a reader must know before believing the headline: what does not beat the baseline, and full fine-tuning that may
not have been trained to its end.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean

from lm_lab.report import text
from lm_lab.report.curves import Point
from lm_lab.report.figures import references
from lm_lab.report.table import baseline_scores, columns
from lm_lab.results.records import AVERAGE, Baseline, CellRecord
from lm_lab.results.selection import on_edge

_FALLS = 0.9  # the last fifth's mean loss over the fifth's before it: below that, training was not at its end
_LEARNT = 0.1  # of the first loss: what is below that has nothing left to learn


def cautions(points: Sequence[Point], records: Iterable[CellRecord], known: Mapping[str, Baseline]) -> list[str]:
    """Return a sentence for each: methods that do not beat the baseline, undertrained references, failed cells."""
    scored = [p for p in points if p.scores and not p.control]
    by_id = {record["id"]: record for record in records}
    found = [*_beaten(scored, known), *_undertrained(scored, by_id)]
    failed = sum(p.failed for p in points if p.task != AVERAGE)
    return [*found, *([f"Cells that failed or diverged: {failed}; they are listed below."] if failed else [])]


def _beaten(points: Sequence[Point], known: Mapping[str, Baseline]) -> Iterator[str]:
    """A method beats a baseline if its whole interval does."""
    for task, score in baseline_scores(points, known).items():
        if task == AVERAGE:
            continue
        below = [p for p in points if p.task == task and not _above(p, score)]
        if below:
            several = len({p.key.backbone for p in points}) > 1
            named = (p.key.method.label + (f" on {p.key.backbone}" if several else "") for p in below)
            names = "; ".join(dict.fromkeys(named))
            yield f"On {task}, not above the baseline ({known[task]['what']}, {text.score(score)}): {names}."


def _above(point: Point, baseline: float) -> bool:
    return point.mean > baseline and not point.interval.low <= baseline  # a single seed has no interval


def _undertrained(points: Sequence[Point], by_id: Mapping[str, CellRecord]) -> Iterator[str]:
    """Where the reference of all comparisons is full fine-tuning that a longer or wider search might improve."""
    for reference in references(points):
        found = []
        for task in (task for task in columns(points) if task != AVERAGE):
            here = [p for p in points if p.task == task and p.key.place == reference.place]
            reasons = [reason for p in here if p.key == reference for reason in _reasons(p, here, by_id)]
            found += [f"{task} ({', '.join(reasons)})"] if reasons else []
        if found:
            yield f"Full fine-tuning of {reference.place.label} may be undertrained: {'; '.join(found)}."


def _reasons(full: Point, others: Sequence[Point], by_id: Mapping[str, CellRecord]) -> Iterator[str]:
    if edge := on_edge(full.candidates, full.tuned):
        yield f"its selected {', '.join(edge)} is on the edge of its grid"
    if any(_falling([row["loss"] for row in by_id[cell].get("history", [])]) for cell in full.cells):
        yield "its loss was still falling at the end"
    probes = [p for p in others if _on_frozen(p) and p.mean > full.mean]
    if probes:
        best = max(probes, key=lambda p: p.mean)
        yield f"{best.key.method.label} of the frozen backbone scores {text.score(best.mean)}"


def _on_frozen(point: Point) -> bool:
    """True for a probe: nothing but a head trains."""
    return not any(point.ledger.get(part, 1) for part in ("backbone_trained", "added"))


def _falling(losses: Sequence[float]) -> bool:
    """True if the last fifth of training was still much better than the fifth before it."""
    fifth = len(losses) // 5
    if fifth < 2:
        return False
    last, before = fmean(losses[-fifth:]), fmean(losses[-2 * fifth : -fifth])
    return last < _FALLS * before and last > _LEARNT * losses[0]

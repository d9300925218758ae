"""The report's first sentences: computed from the results, and saying no more than the intervals allow."""

import math
from collections.abc import Iterator, Mapping, Sequence

from lm_lab.report import text
from lm_lab.report.comparisons import Comparison
from lm_lab.report.curves import Point, compares_backbones, shared_tasks
from lm_lab.report.figures import references
from lm_lab.report.table import best
from lm_lab.results.coordinates import Coordinates
from lm_lab.results.records import AVERAGE

MARGIN = 0.01


def headline(points: Sequence[Point], comparisons: Sequence[Comparison]) -> list[str]:
    """Return up to three sentences for each pretrained backbone (and whatever else varies), on the average or
    the only task.

    Where there are many, a sentence for each strategy: which backbone it does best on.
    """
    scored = [p for p in points if p.scores]
    if not scored:
        return ["No cell has finished yet: there is nothing to compare."]
    tasks = {p.task for p in scored}
    task = AVERAGE if AVERAGE in tasks else min(tasks)
    if compares_backbones(scored):
        return list(_strategies([p for p in scored if p.task == task]))
    sentences = []
    for place in dict.fromkeys(p.key.place for p in scored if not p.control):
        mine = [p for p in scored if p.key.place == place and p.task == task]
        gaps = [c for c in comparisons if c.key.place == place and c.task == task]
        sentences += list(_place(place.label, mine, gaps, shared_tasks(scored)))
    return sentences


def _place(place: str, points: Sequence[Point], gaps: Sequence[Comparison], tasks: Sequence[str]) -> Iterator[str]:
    if not points:
        return
    where = f"the average of {len(tasks)} tasks" if points[0].task == AVERAGE else points[0].task
    top = max(points, key=lambda p: p.mean)
    reference = references(points)
    full = next((p for p in points if p.key in reference), None)
    if full is None:
        yield (
            f"{place}: no finished full fine-tuning to compare with; the best mean so far is "
            f"{top.key.method.label}, {text.plus_minus(top.interval)} on {where}."
        )
        return
    yield f"On {place}, full fine-tuning scores {text.plus_minus(full.interval)} on {where}."
    by_key = {p.key: p for p in points}
    # by the mean, not by "no significant difference": with few seeds nothing differs significantly
    close = [c for c in gaps if c.difference.estimate >= -MARGIN]
    if close:
        cheapest = min(close, key=lambda c: by_key[c.key].trained())
        yield _cheapest(cheapest, by_key, full)
        highest = max(gaps, key=lambda c: c.difference.estimate)
        if highest is not cheapest:
            name = f"{highest.key.method.label} ({text.percent(by_key[highest.key].share)} trained)"
            yield f"The best mean of the cheaper ones is that of {name}: {_gap(highest)}."
    elif gaps:
        nearest = max(gaps, key=lambda c: c.difference.estimate)
        yield (
            f"No cheaper strategy has a mean within {100 * MARGIN:.0f} point of it; the nearest is "
            f"{nearest.key.method.label}, {_gap(nearest)}."
        )


def _strategies(points: Sequence[Point]) -> Iterator[str]:
    for method in dict.fromkeys(p.key.method for p in points):
        mine = [p for p in points if p.key.method == method]
        pretrained, random = ([p for p in mine if p.control is control] for control in (False, True))
        if not pretrained:
            continue
        marked = [p for p in pretrained if (p.key, p.task) in best(pretrained)]
        top = max(pretrained, key=lambda p: p.mean)
        told = (
            f"{len(marked) - 1} of {len(pretrained) - 1} other backbones are not significantly different from it"
            if len(top.scores) > 1
            else "a single seed allows no test of differences"
        )
        sentence = f"{top.key.method.label} does best on {top.key.backbone}, {text.plus_minus(top.interval)}; {told}."
        if random:
            least = max(random, key=lambda p: p.mean)
            sentence += f" The best of random weights is {least.key.backbone}, {text.plus_minus(least.interval)}."
        yield sentence


def _cheapest(comparison: Comparison, by_key: Mapping[Coordinates, Point], full: Point) -> str:
    point = by_key[comparison.key]
    name = point.key.method.label
    alike = len(point.machines | full.machines) == 1 and not math.isnan(point.train_seconds + full.train_seconds)
    time = f" in {_ratio(point.train_seconds, full.train_seconds)} of the time" if alike else ""
    return (
        f"The cheapest whose mean is within {100 * MARGIN:.0f} point of it, or above, is {name}: it trains "
        f"{text.percent(point.share)} of the parameters{time} and stores {text.size(point.ledger['delta_bytes'])} "
        f"instead of {text.size(full.ledger['delta_bytes'])}; the difference is {_gap(comparison)}."
    )


def _gap(comparison: Comparison) -> str:
    gap = comparison.difference
    low, high = (text.score(value, signed=True) for value in (gap.low, gap.high))
    p = text.p_value(comparison.p_holm)
    return f"{text.score(gap.estimate, signed=True)} points (95% interval {low} to {high}, Holm's p {p})"


def _ratio(value: float, whole: float) -> str:
    return f"{100 * value / whole:.0f}%" if whole > 0 else text.NONE

"""Which tuned value won: the selection protocol.

For a (backbone, strategy, size, task), every tuned value (a learning rate) ran with the first seeds; the value with the
best mean *selection* score over the seeds that all values share wins. The selection score is of examples held out of
train; validation never takes part in the choice. A value that failed on one of the shared seeds loses to any that did
not.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from lm_lab.results.records import CellRecord


@dataclass(frozen=True)
class Candidate:
    """One tuned value of a (backbone, strategy, size, task) and how it did on the selection examples."""

    tuned: Mapping[str, Any]
    selection: Mapping[int, float]  # seed -> selection score
    mean: float  # over the seeds that all candidates share; NaN without a score
    complete: int  # how many of the shared seeds have a selection score
    seeds: tuple[int, ...]  # every seed that ran, whatever became of it
    failed: int
    race: float | None = None  # share of training after which it was given up; its scores are of then


def considered(records: Iterable[CellRecord]) -> tuple[Candidate, ...]:
    """Candidates that trained to the end and those that a race gave up, in the order of the values."""
    listed = list(records)
    whole = [record for record in listed if "race" not in record["cell"]]
    raced = [record for record in listed if "race" in record["cell"]]
    kept = candidates(whole) if whole else ()
    known = [option.tuned for option in kept]
    behind = [
        replace(option, race=raced[0]["cell"]["race"])
        for option in (candidates(raced) if raced else ())
        if option.tuned not in known
    ]
    return tuple(sorted([*kept, *behind], key=lambda option: _tuned_order(option.tuned)))


def candidates(records: Iterable[CellRecord]) -> tuple[Candidate, ...]:
    """Group one (backbone, strategy, size, task)'s records by tuned value, in the order of the values."""
    groups: dict[str, list[CellRecord]] = defaultdict(list)
    for record in records:
        groups[json.dumps(record["cell"]["tuned"], sort_keys=True)].append(record)
    shared = set.intersection(*({r["cell"]["seed"] for r in group} for group in groups.values()))
    ordered = sorted(groups.values(), key=lambda group: _tuned_order(group[0]["cell"]["tuned"]))
    return tuple(_candidate(group, shared) for group in ordered)


def choose(options: Sequence[Candidate]) -> Candidate | None:
    """Return the winner: most shared seeds finished, then the best mean selection score, then the first.

    None when there is a choice to make and no selection score to make it with.
    """
    whole = [option for option in options if option.race is None]
    if len(whole) == 1:
        return whole[0]
    scored = [option for option in whole if not math.isnan(option.mean)]
    return max(scored, key=lambda option: (option.complete, option.mean), default=None)


def on_edge(options: Sequence[Candidate], winner: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the tuned settings whose winning value is the smallest or largest that was tried."""
    edges = []
    for name, value in winner.items():
        tried = [option.tuned.get(name) for option in options]
        numbers = [x for x in tried if isinstance(x, int | float)]
        if len(set(tried)) > 1 and len(numbers) == len(tried) and value in (min(numbers), max(numbers)):
            edges.append(name)
    return tuple(edges)


def _tuned_order(tuned: Mapping[str, Any]) -> tuple[tuple[bool, Any], ...]:
    return tuple(
        (isinstance(value, str), value) if isinstance(value, int | float | str) else (True, repr(value))
        for _, value in sorted(tuned.items())
    )


def _candidate(group: Sequence[CellRecord], shared: set[int]) -> Candidate:
    finished = [r for r in group if r["status"] == "done"]
    scores = {r["cell"]["seed"]: r.get("score", {}).get("selection", math.nan) for r in finished}
    scores = {seed: score for seed, score in sorted(scores.items()) if not math.isnan(score)}
    counted = [score for seed, score in scores.items() if seed in shared]
    return Candidate(
        tuned=group[0]["cell"]["tuned"],
        selection=scores,
        mean=fmean(counted) if counted else math.nan,
        complete=len(counted),
        seeds=tuple(sorted(r["cell"]["seed"] for r in group)),
        failed=len(group) - len(finished),
    )

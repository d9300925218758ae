"""Racing: tuned values that are clearly behind after a part of their training are given up.

Every value trains for the same share of its steps, with the schedule of the whole, and is scored on the held-out
examples. The leader goes on, and so does each value that is not significantly behind it: paired by example, over
examples and seeds, the values of one strategy being one family for Holm's correction. A value that failed is given up.

Papers: Maron and Moore 1994 (Hoeffding races), Birattari et al. 2002 (F-race). See docs/benchmark.md#racing.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lm_lab.data.modules.base import HELD_OUT
from lm_lab.errors import UsageError
from lm_lab.metrics import METRICS
from lm_lab.metrics.uncertainty import Resampled, average_difference, holm, resample
from lm_lab.results.predictions import read_predictions
from lm_lab.results.records import CellRecord
from lm_lab.results.selection import candidates, choose

LEVEL = 0.05
Runs = Sequence[CellRecord]
PValue = Callable[[Runs, Runs], float]


def go_on(found: Runs, p_value: PValue) -> list[Mapping[str, Any]]:
    """Tuned values that train to the end, in the order of the values; none where every run failed.

    Args:
        found: the records of a race: of each value, one a seed.
        p_value: of the difference between two values' runs; NaN where that cannot be told.
    """
    options = candidates(found)
    leader = choose(options)
    if leader is None or not leader.complete:
        return []
    others = [option for option in options if option is not leader and option.complete == leader.complete]
    done = [record for record in found if record["status"] == "done"]
    runs = {_key(option.tuned): [r for r in done if r["cell"]["tuned"] == option.tuned] for option in options}
    p_values = [p_value(runs[_key(leader.tuned)], runs[_key(option.tuned)]) for option in others]
    told = holm([1.0 if np.isnan(p) else p for p in p_values])
    kept = [leader, *(option for option, p in zip(others, told, strict=True) if p > LEVEL)]
    return [option.tuned for option in options if option in kept]


def paired_p_value(root: Path) -> PValue:
    """Of the difference of two values on the held-out examples, from their predictions under `root`."""

    @cache
    def resampled(cells: tuple[tuple[str, str | None], ...], metrics: tuple[str, ...]) -> Resampled:
        tables = [read_predictions(root, *cell) for cell in cells]
        rows = [table.split == HELD_OUT for table in tables]
        answers = np.stack([table.prediction[row] for table, row in zip(tables, rows, strict=True)])
        labels = tables[0].label[rows[0]]
        drawn = [resample(answers, labels, METRICS[metric]) for metric in metrics]
        return Resampled(*(np.mean(part, axis=0) for part in zip(*drawn, strict=True)))

    def p_value(leader: Runs, other: Runs) -> float:
        metrics = tuple(leader[0]["scores"][HELD_OUT])
        try:
            first, second = (
                resampled(tuple((r["id"], r.get("predictions")) for r in runs), metrics) for runs in (leader, other)
            )
        except (UsageError, KeyError, ValueError):  # a metric that its counts do not make up again, or damaged files
            return float("nan")
        return average_difference([(first, second)]).p

    return p_value


def _key(tuned: Mapping[str, Any]) -> str:
    return json.dumps(tuned, sort_keys=True)

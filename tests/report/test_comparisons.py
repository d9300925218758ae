"""Comparisons taken together are those taken one by one."""

from pathlib import Path

import numpy as np
import pytest

from lm_lab.metrics import METRICS
from lm_lab.metrics.uncertainty import Resampled, average_difference, resample
from lm_lab.report import comparisons
from lm_lab.report.curves import Point
from lm_lab.results.predictions import read_predictions
from lm_lab.results.records import AVERAGE, read_records

DRAWS = 60


def by_itself(root: Path, point: Point, metrics: list[str], stream: int) -> Resampled:
    """A point's resamples from its files, with nothing shared."""
    tables = [read_predictions(root, cell) for cell in point.cells]
    rows = tables[0].split == "validation"
    answers, labels = np.stack([table.prediction[rows] for table in tables]), tables[0].label[rows]
    drawn = [resample(answers, labels, METRICS[name], DRAWS, stream) for name in metrics]
    return Resampled(np.mean([d.scores for d in drawn], axis=0), np.mean([d.draws for d in drawn], axis=0))


@pytest.mark.parametrize("batch", [1, 2**19])
def test_a_batch_gives_what_each_gives_alone(
    finished: Path, points: list[Point], batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparisons, "_BATCH", batch)
    records = read_records(finished)
    metrics = {record["id"]: list(record["scores"]["validation"]) for record in records if record["status"] == "done"}
    found, problems = comparisons.compare(finished, points, records, DRAWS)
    assert not problems
    tasks = sorted({p.task for p in points} - {AVERAGE})
    singles = [c for c in found if c.task != AVERAGE]
    assert len(singles) > 30
    for comparison in singles:
        pair = [
            next(p for p in points if (p.key, p.task) == (key, comparison.task))
            for key in (comparison.key, reference(points, comparison))
        ]
        alone = [by_itself(finished, p, metrics[p.cells[0]], tasks.index(p.task)) for p in pair]
        expected = average_difference([(alone[0], alone[1])])
        assert comparison.difference == pytest.approx(expected, rel=1e-9)  # sums of a larger product


def reference(points: list[Point], comparison: comparisons.Comparison) -> object:
    """Full fine-tuning where the comparison is."""
    return next(p.key for p in points if p.key["strategy"] == "full" and p.key.place == comparison.key.place)

"""Tables of W&B: a suite's points and contrasts, a run's predictions, a sample of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lm_lab.report.comparisons import Comparison
from lm_lab.report.curves import Point
from lm_lab.results.coordinates import axis_columns
from lm_lab.results.predictions import Predictions


def of_points(points: Sequence[Point]) -> Any:
    """A row a point, as in results.csv."""
    from lm_lab.report.table import point_row

    return _table([point_row(point) for point in points], "backbone")


def of_contrasts(found: Iterable[Comparison]) -> Any:
    """A row a paired difference from full fine-tuning: its interval, its p-value, and Holm's."""
    return _table([_contrast(each) for each in found], "backbone")


def of_predictions(predictions: Predictions, count: int) -> Any:
    """A row an example: split, id, what was predicted (or what it adds to the metrics), the label.

    Args:
        predictions: of a run.
        count: how many examples of each split. Which ones depends on the split's ids alone, so the runs of a task show
            the same.
    """
    values = predictions.prediction.reshape(len(predictions.id), -1)
    names = ["prediction"] if values.shape[1] == 1 else [f"count_{number}" for number in range(values.shape[1])]
    rows = []
    for at in _sample(predictions, count):
        about = {"split": str(predictions.split[at]), "id": int(predictions.id[at])}
        label = float(predictions.label[at])
        rows.append(about | dict(zip(names, map(float, values[at]), strict=True)) | {"label": label})
    return _table(rows, "split")


def _sample(predictions: Predictions, count: int) -> list[int]:
    chosen: list[int] = []
    for split in sorted(set(predictions.split.tolist())):
        rows = np.flatnonzero(predictions.split == split)
        rows = rows[np.argsort(predictions.id[rows], kind="stable")]
        drawn = np.random.default_rng(0).permutation(len(rows))[:count]
        chosen += rows[np.sort(drawn)].tolist()
    return chosen


def _contrast(found: Comparison) -> Mapping[str, Any]:
    gap = found.difference
    row = axis_columns(found.key) | {"task": found.task, "difference": gap.estimate, "low": gap.low, "high": gap.high}
    return row | {"p": gap.p, "p_holm": found.p_holm, "seeds": found.seeds[0], "seeds_full": found.seeds[1]}


def _table(rows: Sequence[Mapping[str, Any]], first: str) -> Any:
    import wandb

    columns = list(rows[0]) if rows else [first]
    # W&B gives a column the type of its first value, and sizes may be numbers or missing
    return wandb.Table(columns=columns, data=[list(row.values()) for row in rows], allow_mixed_types=True)

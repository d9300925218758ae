"""A suite's results in W&B: a run a benchmark cell, and a summary run a suite.

group = suite, job_type = strategy, tags = backbone and task; the run's id is the cell's id, so logging twice
gives one run. Loss and learning rate are curves over optimiser steps; scores, ledger, clocks and memory are
the run's summary.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lm_lab.report.curves import Point
from lm_lab.results.coordinates import BACKBONE, STRATEGY, TASK, Coordinates, axis_columns, coordinates
from lm_lab.results.records import AVERAGE, CellRecord, read_suite, scan
from lm_lab.tracking.session import PROJECT, guarded, open_run

_SUMMARISED = ("score", "ledger", "clocks", "memory")


def log_cell(record: CellRecord, root: Path, project: str = PROJECT, mode: str | None = None) -> bool:
    """Log one cell, finished or failed, as one run; returns False, with a warning, where W&B fails."""
    return guarded(lambda: _log_cell(record, root, project, mode))


def log_summary(root: Path, project: str = PROJECT, mode: str | None = None) -> bool:
    """Log the suite: the table of points, the trade-off figures, and `root`/report as an artifact if it is there.

    Returns False, with a warning, where W&B fails. Raises UsageError if `root` holds no results.
    """
    from lm_lab.report.table import all_points

    suite = read_suite(root)
    points = all_points(scan(root).records, suite)
    return guarded(lambda: _log_summary(root, suite["name"], points, project, mode))


def _log_cell(record: CellRecord, root: Path, project: str, mode: str | None) -> None:
    cell, at = record["cell"], coordinates(record["cell"])
    config = {**record.get("config", {}), "versions": record.get("versions", {})}
    config |= {"cell": axis_columns(at) | {name: cell[name] for name in ("tuned", "seed", "control")}}
    config |= {"git": record.get("git", {}), "hardware": record.get("hardware", {})}
    config |= {"fingerprints": record.get("fingerprints", {})}
    tags = [at.backbone, at[TASK], record["status"], *(["control"] if cell["control"] else [])]
    tags += [*at.place.without(TASK, BACKBONE).words, *(["race"] if "race" in cell else [])]
    init = {"group": record["suite"], "job_type": at[STRATEGY], "tags": tags, "config": config}
    with open_run(root, record["id"], mode, project=project, name=_name(record), **init) as run:
        for row in record.get("history", []):
            values = {f"train/{name}": value for name, value in row.items() if name != "step"}
            run.log(values, step=int(row["step"]))
        run.summary.update(_summary(record))


def _name(record: CellRecord) -> str:
    cell = record["cell"]
    words = [word.replace(" ", "") for word in coordinates(cell).words]
    race = ["race"] if "race" in cell else []
    return "-".join([*words, *map(str, cell["tuned"].values()), f"seed{cell['seed']}", *race])


def _summary(record: CellRecord) -> dict[str, Any]:
    values: dict[str, Any] = {"status": record["status"], "reason": record.get("reason")}
    for group in _SUMMARISED:
        part: dict[str, Any] = record.get(group) or {}  # type: ignore[assignment]
        values |= {f"{group}/{name}": value for name, value in part.items()}
    for split, scores in (record.get("scores") or {}).items():
        values |= {f"{split}/{metric}": value for metric, value in scores.items()}
    return values


def _log_summary(root: Path, suite: str, points: Sequence[Point], project: str, mode: str | None) -> None:
    import wandb

    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", suite)
    init = {"project": project, "name": f"{suite} summary", "group": suite, "job_type": "summary"}
    with open_run(root, f"summary-{name}", mode, **init) as run:
        run.log({"points": _table(points), **_figures(points)})
        alone = len({p.task for p in points}) == 1  # one task has no average; of several, none stands for all
        run.summary.update({_mean_key(p.key): p.mean for p in points if alone or p.task == AVERAGE})
        if (root / "report").is_dir():
            artifact = wandb.Artifact(f"{name}-report", type="report")
            for path in sorted((root / "report").iterdir()):
                artifact.add_file(str(path))
            run.log_artifact(artifact)


def _mean_key(key: Coordinates) -> str:
    return "/".join(["mean", *key.words])


def _table(points: Sequence[Point]) -> Any:
    import wandb

    from lm_lab.report.table import point_row

    rows = [point_row(point) for point in points]
    columns = list(rows[0]) if rows else ["backbone"]
    # W&B gives a column the type of its first value, and sizes may be numbers or missing
    return wandb.Table(columns=columns, data=[list(row.values()) for row in rows], allow_mixed_types=True)


def _figures(points: Sequence[Point]) -> dict[str, Any]:
    """Return the figures under keys of their own: W&B keeps a chart's data as `<key>_table`, over any table there."""
    import wandb

    from lm_lab.report.figures import trade_off
    from lm_lab.report.traces import AXES

    tasks = dict.fromkeys(p.task for p in points if p.scores)
    return {
        f"trade_off/{task}/{axis}": wandb.Plotly(trade_off(points, task, axis, f"{task}: score against {axis}"))
        for task in tasks
        for axis in AXES
    }

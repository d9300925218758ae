"""A suite's results in W&B: a run a benchmark cell, and a summary run a suite.

group = suite, job_type = strategy, tags = backbone and task; the run's id is the cell's id, so logging twice
gives one run. Loss and learning rate are curves over optimiser steps; scores, ledger, clocks and memory are
the run's summary.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm_lab.report.curves import Point
from lm_lab.results.coordinates import BACKBONE, STRATEGY, TASK, Coordinates, axis_columns, coordinates
from lm_lab.results.predictions import Predictions, read_predictions
from lm_lab.results.records import AVERAGE, CellRecord, read_suite, scan
from lm_lab.tracking.session import PROJECT, begin_run, chosen_mode, directories, guarded, open_run
from lm_lab.tracking.tables import of_contrasts, of_points, of_predictions

if TYPE_CHECKING:
    import wandb

    from lm_lab.report.comparisons import Comparison

_SUMMARISED = ("score", "ledger", "clocks", "memory")


def log_cell(
    record: CellRecord, root: Path, project: str = PROJECT, mode: str | None = None, predictions: int = 0
) -> bool:
    """Log one cell, finished or failed, as one run; returns False, with a warning, where W&B fails.

    `predictions`: how many of each split are logged, as a table.
    """
    return guarded(lambda: _log_cell(record, root, project, mode, predictions))


def log_summary(root: Path, project: str = PROJECT, mode: str | None = None) -> bool:
    """Log the suite: points, contrasts with full fine-tuning, figures, and `root`/report, shown and as an artifact.

    Returns False, with a warning, where W&B fails. Raises UsageError if `root` holds no results.
    """
    from lm_lab.report.comparisons import compare
    from lm_lab.report.table import all_points

    if chosen_mode(mode) == "disabled":
        return True
    suite, records = read_suite(root), scan(root).records
    points = all_points(records, suite)
    contrasts, _ = compare(root, points, records)
    return guarded(lambda: _log_summary(root, suite["name"], points, contrasts, project, mode))


def begin(record: CellRecord, root: Path, project: str, mode: str | None, system_metrics: bool = False) -> "wandb.Run":
    """Open the run of a cell; of its record, what is known before it ends is enough."""
    cell, at = record["cell"], coordinates(record["cell"])
    config = {**record.get("config", {}), "versions": record.get("versions", {}), "started": record.get("started")}
    config |= {"cell": axis_columns(at) | {name: cell[name] for name in ("tuned", "seed", "control")}}
    config |= {"git": record.get("git", {}), "hardware": record.get("hardware", {})}
    config |= {"fingerprints": record.get("fingerprints", {})}
    init = {"group": record["suite"], "job_type": at[STRATEGY], "tags": _tags(record), "config": config}
    return begin_run(root, record["id"], mode, system_metrics, project=project, name=_name(record), **init)


def end(
    run: "wandb.Run", record: CellRecord, after: int = -1, shown: Predictions | None = None, count: int = 0
) -> None:
    """Log what is left of the curve behind step `after`, the scores and the summary, and close the run.

    `count` of each split are logged of the predictions that are `shown`.
    """
    rows = [row for row in record.get("history", []) if row["step"] > after]
    for row in rows:
        values = {f"train/{name}": value for name, value in row.items() if name != "step"}
        run.log(values | _time(record, row["step"]), step=int(row["step"]))
    if scores := _scores(record):
        last = int(max([after, 0, *(row["step"] for row in rows)]))
        tables = {} if shown is None else {"predictions": of_predictions(shown, count)}
        run.log(scores | tables | _time(record, last), step=last)
    run.tags = (*_tags(record), record["status"])
    run.summary.update(_summary(record))
    run.finish(exit_code=0 if record["status"] == "done" else 1)


def predicted(record: CellRecord, root: Path, count: int) -> Predictions | None:
    """A cell's predictions, where any are asked for and there are some."""
    if not count or record["status"] != "done":
        return None
    return read_predictions(root, record["id"], record.get("predictions"))


def _log_cell(record: CellRecord, root: Path, project: str, mode: str | None, count: int) -> None:
    shown = predicted(record, root, count)
    with directories(root / "wandb"):
        end(begin(record, root, project, mode), record, shown=shown, count=count)


def _tags(record: CellRecord) -> list[str]:
    cell, at = record["cell"], coordinates(record["cell"])
    tags = [at.backbone, str(at[TASK]), *(["control"] if cell["control"] else [])]
    return [*tags, *at.place.without(TASK, BACKBONE).words, *(["race"] if "race" in cell else [])]


def _time(record: CellRecord, step: float) -> dict[str, float]:
    """When a step was, as the record's clocks have it: steps are taken to be equally long."""
    clocks: Mapping[str, float] = record.get("clocks") or {}
    if not clocks.get("steps") or "started" not in record:
        return {}
    started = datetime.fromisoformat(record["started"]).timestamp() + clocks.get("prepare_seconds", 0.0)
    return {"_timestamp": started + clocks["train_seconds"] * step / clocks["steps"]}


def _scores(record: CellRecord) -> dict[str, float]:
    found = (record.get("scores") or {}).items()
    return {f"{split}/{metric}": value for split, scores in found for metric, value in scores.items()}


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
    return values | _scores(record)


def _log_summary(
    root: Path, suite: str, points: Sequence[Point], contrasts: "Sequence[Comparison]", project: str, mode: str | None
) -> None:
    import wandb

    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", suite)
    init = {"project": project, "name": f"{suite} summary", "group": suite, "job_type": "summary"}
    with open_run(root, f"summary-{name}", mode, **init) as run:
        run.log({"points": of_points(points), "contrasts": of_contrasts(contrasts), **_figures(points)})
        alone = len({p.task for p in points}) == 1  # one task has no average; of several, none stands for all
        run.summary.update({_mean_key(p.key): p.mean for p in points if alone or p.task == AVERAGE})
        if (page := root / "report" / "index.html").is_file():
            run.log({"report": wandb.Html(page.read_text(encoding="utf-8"), inject=False)})
        if (root / "report").is_dir():
            artifact = wandb.Artifact(f"{name}-report", type="report")
            for path in sorted((root / "report").iterdir()):
                artifact.add_file(str(path))
            run.log_artifact(artifact)


def _mean_key(key: Coordinates) -> str:
    return "/".join(["mean", *key.words])


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

"""A dashboard of a suite in W&B: panels over the runs of its cells, built offline and saved to a server.

Where the rate and the size of a good cell lie (parallel coordinates), score against trained parameters, and loss curves
by strategy. Uses `wandb-workspaces`, an extra of its own.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lm_lab.errors import UsageError
from lm_lab.results.coordinates import TASK, axis_columns, coordinates
from lm_lab.results.records import CellRecord, read_suite, scan

SCORE, TRAINED, LOSS = "score/validation", "ledger/trained", "train/loss"
_LOGARITHMIC = ("learning_rate", "rank", "size")


def build(root: Path, project: str, entity: str) -> Any:
    """The workspace of a suite's results, a `wandb_workspaces.workspaces.Workspace`.

    Args:
        root: the results; their records say which axes vary.
        project: that the cells were logged to.
        entity: user or team that owns it.

    Raises:
        UsageError: no results, or `wandb-workspaces` is not installed.
    """
    ws, wr = _library()
    suite, records = read_suite(root)["name"], scan(root).records
    if not records:
        raise UsageError(f"'{root}' holds no finished cell; run the suite first.")
    sections = [
        ws.Section(name="Settings and scores", panels=[_parallel(wr, records)], is_open=True),
        ws.Section(name="Scores and costs", panels=[_trade_off(wr)], is_open=True),
        ws.Section(name="Curves", panels=[_curves(wr, name) for name in (LOSS, "train/learning_rate")], is_open=True),
    ]
    cells = ws.RunsetSettings(filters=[ws.Metric("Group") == suite, ws.Metric("JobType") != "summary"])
    return ws.Workspace(entity=entity, project=project, name=suite, sections=sections, runset_settings=cells)


def as_json(workspace: Any) -> str:
    """What is sent to the server, for a look before."""
    text: str = workspace._to_model().model_dump_json(indent=1, by_alias=True, exclude_none=True)
    return text


def _library() -> tuple[Any, Any]:
    try:
        import wandb_workspaces.reports.v2 as wr
        import wandb_workspaces.workspaces as ws
    except ImportError as error:
        raise UsageError("a workspace needs `wandb-workspaces`: pip install 'lm-lab[workspaces]'.") from error
    return ws, wr


def _parallel(wr: Any, records: Sequence[CellRecord]) -> Any:
    """Every setting that varies over the cells, then the score."""
    columns = [
        wr.ParallelCoordinatesPlotColumn(wr.Config(f"cell.{name}"), display_name=name, log=_logarithmic(name))
        for name in varied(records)
    ]
    score = wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric(SCORE), display_name="score")
    return wr.ParallelCoordinatesPlot(title="Settings and score", columns=[*columns, score])


def _trade_off(wr: Any) -> Any:
    return wr.ScatterPlot(
        title="Score against trained parameters", x=wr.SummaryMetric(TRAINED), y=wr.SummaryMetric(SCORE), log_x=True
    )


def _curves(wr: Any, name: str) -> Any:
    return wr.LinePlot(title=f"{name} by strategy", y=[name], groupby=wr.Config("cell.strategy"), max_runs_to_show=100)


def varied(records: Sequence[CellRecord]) -> list[str]:
    """Names of what differs between cells, as their runs log it below `cell`: axes, then what is tuned."""
    values: dict[str, set[str]] = {}
    for record in records:
        cell = record["cell"]
        tuned = {f"tuned.{name}": value for name, value in cell["tuned"].items()}
        for name, value in (axis_columns(coordinates(cell)) | tuned).items():
            values.setdefault(name, set()).add(str(value))
    return sorted((name for name, found in values.items() if len(found) > 1), key=lambda name: name != TASK)


def _logarithmic(name: str) -> bool:
    return name.rpartition(".")[2] in _LOGARITHMIC

"""A suite's dashboard in W&B, as the JSON that would be sent."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_results import records, write_results

from lm_lab.cli import main
from lm_lab.tracking.workspace import varied

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write_results(tmp_path / "results")
    return tmp_path / "results"


def panels(view: Any) -> dict[str, dict[str, Any]]:
    """Kind of each panel -> its configuration, wherever in the view it stands."""
    found = {}
    if isinstance(view, dict):
        if "viewType" in view and "config" in view:
            found[view["viewType"]] = view["config"]
        for value in view.values():
            found |= panels(value)
    if isinstance(view, list):
        for value in view:
            found |= panels(value)
    return found


def test_the_panels_of_a_suite(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("wandb_workspaces")
    assert main(["track", "workspace", str(results), "--project", "mine", "--entity", "me", "--to", "view.json"]) == 0
    assert capsys.readouterr().out == "workspace: view.json\n"
    view = json.loads(Path("view.json").read_text())
    found = panels(view)
    columns = [column["accessor"] for column in found["Parallel Coordinates Plot"]["columns"]]
    assert columns[-1] == "summary:score/validation"
    assert {"config:cell.value.tuned.learning_rate", "config:cell.value.strategy"} <= {*columns}
    assert found["Scatter Plot"]["xAxis"] == "summary:ledger/trained"
    assert found["Scatter Plot"]["yAxis"] == "summary:score/validation"
    assert "glue_small" in json.dumps(view)


def test_what_varies_is_shown(results: Path) -> None:
    found = varied([record for record, _ in records()])
    assert found[0] == "task"
    assert {"strategy", "tuned.learning_rate"} <= set(found)


def test_without_the_library_it_says_what_to_install(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    monkeypatch.setitem(sys.modules, "wandb_workspaces.workspaces", None)
    monkeypatch.setitem(sys.modules, "wandb_workspaces.reports.v2", None)
    assert main(["track", "workspace", str(results), "--to", "view.json"]) == 2
    assert "pip install 'lm-lab[workspaces]'" in capsys.readouterr().err

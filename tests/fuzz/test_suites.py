"""Suites and folders of results with anything changed end in a plan, or a report, or in one line."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from fake_results import records, suite
from hypothesis import given
from hypothesis import strategies as st
from mutations import damaged, mutated
from suites import STRATEGIES, write_suite

from lm_lab.benchmark.plan import make_plan
from lm_lab.benchmark.preflight import check_settings
from lm_lab.benchmark.suite import load_suite
from lm_lab.errors import UsageError
from lm_lab.report.page import terminal_table, write_report
from lm_lab.results.predictions import has_predictions
from lm_lab.results.records import read_record, save_baselines, write_record


@pytest.fixture(scope="module")
def source(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("suite") / "suite.yaml"
    lora = STRATEGIES["lora"] | {"trainer": {"max_epochs": 2}, "init_args": {"alpha": 4.0}}
    rules = [{"backbone": "tiny", "strategy": ["full"]}]
    write_suite(path, folders["bert"], strategies=STRATEGIES | {"lora": lora}, exclude=rules, selection_seeds=1)
    return yaml.safe_load(path.read_text())


def require_one_line(error: UsageError) -> None:
    assert "\n" not in str(error)


def planned(path: Path) -> None:
    """Load, plan and check a suite; a fault is a UsageError in one line."""
    try:
        found = load_suite(path)
        cells = make_plan(found, {}, lambda _: {"data": "d", "weights": "w"}).cells
        assert len({cell.id for cell in cells}) == len(cells)
        check_settings(found)
    except UsageError as error:
        require_one_line(error)


@given(data=st.data())
def test_mutated_suites_end_in_a_plan_or_one_line(source: Any, tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump(mutated(source, data), allow_unicode=True))
    planned(path)


@given(data=st.data())
def test_damaged_suite_files_end_in_a_plan_or_one_line(source: Any, tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "suite.yaml"
    path.write_bytes(damaged(yaml.safe_dump(source).encode(), data))
    planned(path)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A probe, LoRA and full fine-tuning on two tasks, with random weights too."""
    root = tmp_path_factory.mktemp("small")
    (root / "suite.json").write_text(json.dumps(suite()))
    for record, predictions in records():
        cell = record["cell"]
        if (
            cell["coordinates"]["task"] in ("cola", "stsb")
            and cell["coordinates"]["strategy"] in ("probe", "full")
            and cell["seed"] < 2
        ):
            write_record(root, record | {"layer_weights": [0.25, 0.75]}, predictions)  # type: ignore[arg-type]
    save_baselines(root, {task: {"what": "chance", "score": 0.5, "data": "d"} for task in ("cola", "stsb")})
    return root


def reported(root: Path) -> None:
    """Write the report; a fault is a UsageError in one line."""
    try:
        assert write_report(root, draws=4).exists()
        assert terminal_table(root)
    except UsageError as error:
        require_one_line(error)


@given(data=st.data())
def test_damaged_results_end_in_a_report_or_one_line(small: Path, tmp_path: Path, data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("plotly.offline.get_plotlyjs", lambda: "")
        root = tmp_path / "results"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(small, root)
        for _ in range(data.draw(st.integers(1, 3))):
            path = data.draw(st.sampled_from(sorted(path for path in root.rglob("*") if path.is_file())))
            _spoil(path, data)
        reported(root)


def _spoil(path: Path, data: st.DataObject) -> None:
    """Damage the bytes of a file, or change what it says."""
    how = data.draw(st.sampled_from(["bytes", "content", "content"]))
    if how == "bytes" or path.stat().st_size == 0:
        path.write_bytes(damaged(path.read_bytes(), data))
    elif path.suffix == ".json":
        try:
            path.write_text(json.dumps(mutated(json.loads(path.read_text()), data)))
        except ValueError:  # damaged before
            path.unlink()
    else:
        _change_predictions(path, data)


def _change_predictions(path: Path, data: st.DataObject) -> None:
    record = read_record(path.parents[1], path.stem)
    if record is None or not has_predictions(path.parents[1], path.stem, record.get("predictions")):
        return  # damaged before
    table = pq.read_table(path)
    name = data.draw(st.sampled_from(table.column_names))
    how = data.draw(st.sampled_from(["drop", "rename", "slice", "constant", "huge", "text", "nothing", "lists"]))
    other = {
        "constant": pa.array([0] * len(table), pa.int64()),
        "huge": pa.array([1e300] * len(table)),
        "text": pa.array(["x"] * len(table)),
        "nothing": pa.nulls(len(table)),
        "lists": pa.array([[0.5] * (i % 2 + 1) for i in range(len(table))]),
    }
    if how == "drop":
        table = table.drop_columns([name])
    elif how == "rename":
        table = table.rename_columns({name: "other"})
    elif how == "slice":
        table = table.slice(0, data.draw(st.integers(0, 3)))
    else:
        table = table.set_column(table.column_names.index(name), name, other[how])
    pq.write_table(table, path)
    record["predictions"] = hashlib.sha256(path.read_bytes()).hexdigest()  # as if it had been written so
    write_record(path.parents[1], record)

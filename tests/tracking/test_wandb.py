import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb
from fake_results import records, suite
from offline_runs import logged, of_kind, summary

from lm_lab.errors import UsageError
from lm_lab.report.comparisons import compare
from lm_lab.report.page import write_report
from lm_lab.report.table import all_points
from lm_lab.results.coordinates import Coordinates
from lm_lab.results.predictions import Predictions
from lm_lab.results.records import CellRecord, read_records, write_record
from lm_lab.tracking import session
from lm_lab.tracking.session import TrackingWarning
from lm_lab.tracking.suites import log_cell, log_summary
from lm_lab.tracking.tables import of_predictions
from lm_lab.tracking.wandb import WandB


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    session._warned.clear()


@pytest.fixture(scope="module")
def cells() -> list[Any]:
    return [pair for pair in records() if pair[0]["cell"]["coordinates"]["task"] in ("sst2", "cola")]


@pytest.fixture
def done(cells) -> CellRecord:
    return next(record for record, _ in cells if record["cell"]["coordinates"]["strategy"] == "lora")


@pytest.fixture
def results(cells, tmp_path) -> Path:
    root = tmp_path / "results"
    for record, _ in cells:
        write_record(root, record)
    (root / "suite.json").write_text(json.dumps(suite()))
    return root


LORA = Coordinates({"backbone": "minilm-l3", "strategy": "lora", "rank": 8}, "rank")


def test_a_cell_is_one_run_with_its_curve_and_its_numbers(tmp_path, done):
    assert log_cell(done, tmp_path, project="mine")
    lines = logged(tmp_path / "wandb" / done["id"])
    (run,) = of_kind(lines, "run")[:1]
    assert (run["run_id"], run["project"], run["run_group"]) == (done["id"], "mine", "glue_small")
    assert run["job_type"] == "lora"
    assert {"minilm-l3", "cola", "done"} <= set(of_kind(lines, "run")[-1]["tags"])  # known when it has ended
    assert run["display_name"] == "cola-minilm-l3-lora-rank2-0.0001-seed0"
    assert run["config"]["update"]["model"] == done["config"]["model"]
    steps = [row["step"]["num"] for row in of_kind(lines, "history")]
    losses = [row["item"]["train/loss"] for row in of_kind(lines, "history")]
    assert steps == [row["step"] for row in done["history"]]
    assert losses == pytest.approx([row["loss"] for row in done["history"]])
    found = summary(lines)
    assert found["score/validation"] == pytest.approx(done["score"]["validation"])
    assert found["validation/matthews"] == pytest.approx(done["scores"]["validation"]["matthews"])
    assert found["ledger/trained"] == done["ledger"]["trained"]
    assert found["clocks/train_seconds"] == pytest.approx(done["clocks"]["train_seconds"])
    assert found["memory/kind"] == "resident set"
    assert wandb.run is None


def test_neither_command_nor_machine_nor_user_is_told(tmp_path, done, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["lm-lab", "bench", "run", "--token", "hf_secret", "/home/ann/suite.yaml"])
    assert log_cell(done, tmp_path)
    (path,) = (tmp_path / "wandb").rglob("*.wandb")
    written = path.read_bytes() + b"".join(file.read_bytes() for file in path.parent.rglob("*") if file.is_file())
    for secret in ("hf_secret", "/home/ann", sys.executable):
        assert secret.encode() not in written, secret
    assert not list((tmp_path / "wandb").rglob("wandb-metadata.json"))  # host, user, command


def test_logging_again_does_not_duplicate(tmp_path, done):
    assert log_cell(done, tmp_path)
    assert log_cell({**done, "score": {"validation": 0.25}}, tmp_path)
    assert len(list(tmp_path.rglob("*.wandb"))) == 1
    assert summary(logged(tmp_path / "wandb"))["score/validation"] == 0.25


def test_a_failed_cell_is_logged_with_its_reason(tmp_path, cells):
    diverged = next(record for record, _ in cells if record["status"] == "diverged")
    assert log_cell(diverged, tmp_path)
    lines = logged(tmp_path / "wandb")
    assert summary(lines)["reason"] == "loss became nan at step 41"
    assert "diverged" in of_kind(lines, "run")[-1]["tags"]
    assert of_kind(lines, "exit")[0]["exit_code"] == 1


def test_nothing_is_written_outside_the_results(results, done, tmp_path):
    assert log_cell(done, results)
    (results / "report").mkdir()
    (results / "report" / "index.html").write_text("<p>page</p>")
    before = set(tmp_path.iterdir())
    assert log_summary(results)
    assert set(tmp_path.iterdir()) == before
    assert not list((tmp_path / "home").rglob("*"))
    assert not [name for name in os.environ if name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR")]


def test_the_summary_has_a_table_figures_and_the_page(results):
    (results / "report").mkdir()
    (results / "report" / "index.html").write_text("<p>page</p>")
    assert log_summary(results, project="mine")
    lines = logged(results / "wandb" / "summary-glue_small")
    found = summary(lines)
    assert found["points._type"] == "table-file"
    keys = {key.removesuffix("._type") for key in found if key.startswith("trade_off/") and key.endswith("._type")}
    assert keys == {
        f"trade_off/{task}/{axis}"
        for task in ("cola", "sst2", "average")
        for axis in ("parameters", "time", "bytes", "memory")
    }
    assert all(found[f"{key}._type"] == "plotly-file" for key in keys)
    assert found["mean/minilm-l3/lora/rank 8"] == pytest.approx(0.6, abs=0.2)
    assert "glue_small-report" in json.dumps(lines)


def table(folder: Path, key: str) -> list[dict[str, Any]]:
    """The rows of a table that a run has logged."""
    (path,) = [path for path in folder.rglob("*.table.json") if path.name.startswith(f"{key}_")]
    content = json.loads(path.read_text())
    return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]


def test_the_summary_has_the_contrasts_and_shows_the_page(cells, results):
    for record, predictions in cells:
        write_record(results, record, predictions)
    page = write_report(results, draws=20)
    assert log_summary(results)
    folder = results / "wandb" / "summary-glue_small"
    rows = table(folder, "contrasts")
    found, problems = compare(results, all_points(read_records(results), suite()), read_records(results))
    assert not problems
    assert len(rows) == len(found) > 20
    for row, each in zip(rows, found, strict=True):
        assert (row["strategy"], row["task"], row["size"]) == (each.key["strategy"], each.task, each.key.size)
        assert [row[name] for name in ("difference", "low", "high", "p", "p_holm")] == pytest.approx(
            [*each.difference[:4], each.p_holm], rel=1e-6, abs=1e-12
        )
    shown = [path for path in folder.rglob("*.html") if path.name.startswith("report_")]
    assert [path.read_text() for path in shown] == [page.read_text()]
    assert summary(logged(folder))["report._type"] == "html-file"


def test_a_cells_predictions_are_a_sample_that_is_the_same_in_every_run(cells, tmp_path):
    pairs = [(r, p) for r, p in cells if r["status"] == "done" and r["cell"]["coordinates"]["task"] == "sst2"][:2]
    ids = []
    for record, predictions in pairs:
        write_record(tmp_path, record, predictions)
        assert log_cell(record, tmp_path, predictions=5)
        rows = table(tmp_path / "wandb" / record["id"], "predictions")
        assert [row["split"] for row in rows] == ["selection"] * 5 + ["validation"] * 5
        ids.append([(row["split"], row["id"]) for row in rows])
        for row in rows:
            (at,) = [
                n for n in range(len(predictions.id))
                if (predictions.split[n], predictions.id[n]) == (row["split"], row["id"])
            ]  # fmt: skip
            assert (row["prediction"], row["label"]) == (predictions.prediction[at], predictions.label[at])
    assert ids[0] == ids[1] != sorted(ids[0], key=lambda pair: -pair[1])
    assert len({number for _, number in ids[0][5:]} - set(range(5))) > 0  # not just the first ones


def test_predictions_are_logged_only_if_they_are_asked_for(cells, done, tmp_path):
    write_record(tmp_path, done, next(predictions for record, predictions in cells if record is done))
    assert log_cell(done, tmp_path)
    assert not list(tmp_path.rglob("*.table.json"))


def test_counts_of_an_example_are_columns(tmp_path):
    counts = Predictions(np.array(["validation"] * 3), np.arange(3), np.arange(6.0).reshape(3, 2), np.ones(3))
    found = of_predictions(counts, 2)
    assert found.columns == ["split", "id", "count_0", "count_1", "label"]
    assert all(row[2:4] == [2.0 * row[1], 2.0 * row[1] + 1] for row in found.data)


@pytest.mark.parametrize("wanted", [False, True])
def test_system_metrics_are_logged_on_request_alone(tmp_path, wanted):
    with session.open_run(tmp_path, "one", "offline", system_metrics=wanted) as run:
        run.log({"x": 1.0})
        time.sleep(1.5)  # a first sample comes at once, the next after 15 seconds
    lines = logged(tmp_path / "wandb" / "one")
    measured = {name for stats in of_kind(lines, "stats") for name in stats["item"]}
    assert ("memory_percent" in measured) is bool(measured) is wanted
    assert bool(of_kind(lines, "run")[0].get("host")) is wanted
    assert not list(tmp_path.rglob("wandb-metadata.json"))  # user and command


def test_the_summary_of_one_task_has_its_means(results):
    for record in (r for r in read_records(results) if r["cell"]["coordinates"]["task"] != "sst2"):
        (results / "cells" / f"{record['id']}.json").unlink()
    assert log_summary(results)
    found = summary(logged(results / "wandb" / "summary-glue_small"))
    (point,) = (p for p in all_points(read_records(results), {}) if p.key == LORA)
    assert found["mean/minilm-l3/lora/rank 8"] == pytest.approx(point.mean)


def test_table_and_figures_do_not_overwrite_one_another(results):
    """A chart `x` is stored with a table `x_table`: no key may be another's with that suffix."""
    assert log_summary(results)
    folder = results / "wandb" / "summary-glue_small"
    keys = {key.split(".")[0] for key in summary(logged(folder))}
    assert {"points", "trade_off/average/parameters"} <= keys
    assert not {f"{key}_table" for key in keys} & keys
    (table,) = [path for path in folder.rglob("*.table.json") if "points" in path.name]
    content = json.loads(table.read_text())
    row = dict(zip(content["columns"], content["data"][0], strict=True))
    assert {"backbone", "strategy", "size", "task", "mean", "trained", "delta_bytes"} <= row.keys()
    assert len(content["data"]) == 13 * 3


def test_a_mode_is_the_argument_then_the_environment_then_offline(monkeypatch):
    assert session.chosen_mode(None) == "offline"
    monkeypatch.setenv("WANDB_SWEEP_ID", "abc")  # its agent waits for the score
    assert session.chosen_mode(None) == "online"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert session.chosen_mode(None) == "disabled"
    assert session.chosen_mode("online") == "online"
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    with pytest.raises(UsageError, match="'sometimes': expected one of online, offline, disabled"):
        session.chosen_mode(None)


def test_online_without_a_key_warns_once_and_does_not_ask(tmp_path, done):
    with pytest.warns(TrackingWarning, match=r"no key: set WANDB_API_KEY") as caught:
        assert [log_cell(done, tmp_path, mode="online") for _ in range(2)] == [False, False]
    assert len(caught) == 1


def test_online_without_a_network_fails_at_once(tmp_path, done, monkeypatch):
    monkeypatch.setattr(wandb, "login", lambda **_: True)
    monkeypatch.setattr(session.socket, "create_connection", lambda *_: (_ for _ in ()).throw(OSError("no route")))
    with pytest.warns(TrackingWarning, match=r"cannot be reached \(no route\): set WANDB_MODE=offline"):
        assert not log_cell(done, tmp_path, mode="online")


def test_a_failure_inside_wandb_does_not_reach_the_caller(tmp_path, done, monkeypatch):
    monkeypatch.setattr(wandb, "init", lambda **_: (_ for _ in ()).throw(RuntimeError("service died")))
    with pytest.warns(TrackingWarning, match="RuntimeError: service died"):
        assert not log_cell(done, tmp_path)


def test_a_summary_of_nothing_is_the_users_mistake(tmp_path):
    with pytest.raises(UsageError, match=r"no suite.json"):
        log_summary(tmp_path)


def test_the_logger_is_offline_with_a_folder_and_a_run_of_its_own(tmp_path, monkeypatch):
    for part in ("DATA", "CACHE"):
        monkeypatch.setenv(f"WANDB_{part}_DIR", str(tmp_path / part))
    first, second = (WandB(project="mine", save_dir=str(tmp_path / "runs")) for _ in range(2))
    for value, logger in ((1.0, first), (2.0, second)):
        logger.log_metrics({"loss": value}, step=0)
    for logger in (first, second):
        logger.experiment.finish()
    assert first.save_dir != second.save_dir
    assert summary(logged(Path(first.save_dir)))["loss"] == 1.0
    assert summary(logged(Path(second.save_dir)))["loss"] == 2.0
    assert os.environ.get("WANDB_MODE") is None


def test_the_logger_refuses_a_bad_mode(tmp_path):
    with pytest.raises(UsageError, match="expected one of"):
        WandB(save_dir=str(tmp_path), mode="maybe")
    assert not list(tmp_path.iterdir())

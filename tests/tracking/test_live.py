"""Cells are logged while they train: by this process, from what theirs write."""

import json
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from fake_results import records
from offline_runs import config, curves, logged, of_kind, summary
from suites import STRATEGIES, write_suite

from lm_lab.benchmark.following import Follow
from lm_lab.cli import main
from lm_lab.results.records import CellRecord, read_records
from lm_lab.tracking.live import Live
from lm_lab.tracking.suites import log_cell
from lm_lab.training.callbacks.meter import TrainingMeter


@pytest.fixture
def done() -> CellRecord:
    return next(record for record, _ in records() if record["status"] == "done" and record["history"])


def follow(folder: Path, record: CellRecord, count: int) -> None:
    """Write the first rows of a record's history, as the cell's own process does."""
    folder.mkdir(exist_ok=True)
    meter = TrainingMeter()
    known: Any = {**record, "status": "failed", "scores": {}, "score": {}, "history": []}
    writes = Follow(folder / f"{record['id']}.jsonl", known, meter.history)
    for row in record["history"][:count]:
        meter.history.append(row)
        writes.on_train_batch_end(L.Trainer, None)


def test_a_run_is_there_while_its_cell_trains(tmp_path: Path, done: CellRecord) -> None:
    with Live(tmp_path, tmp_path / "live", "mine", "offline") as live:
        follow(tmp_path / "live", done, 2)
        live.look()
        assert list(tmp_path.rglob("*.wandb"))
        live(done)
    assert not (tmp_path / "live").exists()
    lines = logged(tmp_path / "wandb" / done["id"])
    assert curves(lines)["train/loss"] == pytest.approx([row["loss"] for row in done["history"]])
    assert config(lines)["model"] == done["config"]["model"]
    assert summary(lines)["status"] == "done"
    assert of_kind(lines, "exit")[0].get("exit_code", 0) == 0
    metric, value = next(iter(done["scores"]["validation"].items()))
    assert curves(lines)[f"validation/{metric}"] == [pytest.approx(value)]


def test_a_cell_that_nobody_followed_has_the_times_of_its_record(tmp_path: Path, done: CellRecord) -> None:
    clocks = {"steps": 100, "train_seconds": 50.0, "prepare_seconds": 10.0, "total_seconds": 70.0}
    started = "2026-01-01T00:00:00+00:00"
    assert log_cell({**done, "clocks": clocks, "started": started}, tmp_path, mode="offline")  # type: ignore[typeddict-item]
    lines = logged(tmp_path)
    times = [row["item"]["_timestamp"] for row in of_kind(lines, "history")]
    assert times == [pytest.approx(1767225600 + 10 + row["step"] / 2, abs=1) for row in done["history"]]
    assert config(lines)["started"] == started
    assert summary(lines)["clocks/total_seconds"] == 70.0


def test_a_cell_that_is_started_again_is_one_run(tmp_path: Path, done: CellRecord) -> None:
    with Live(tmp_path, tmp_path / "live", "mine", "offline") as live:
        for count in (3, 1):
            follow(tmp_path / "live", done, count)
            live.look()
        live(done)
    assert summary(logged(tmp_path / "wandb" / done["id"]))["status"] == "done"


def test_what_an_interrupted_suite_has_left_is_not_followed(tmp_path: Path, done: CellRecord) -> None:
    follow(tmp_path / "live", done, 2)
    with Live(tmp_path, tmp_path / "live", "mine", "offline") as live:
        live.look()
    assert not list(tmp_path.rglob("*.wandb"))


def test_nothing_is_followed_where_nothing_is_logged(tmp_path: Path, done: CellRecord) -> None:
    with Live(tmp_path, tmp_path / "live", "mine", "disabled") as live:
        follow(tmp_path / "live", done, 2)
        live(done)
    assert not list(tmp_path.rglob("*.wandb"))


def test_a_negative_number_of_predictions_is_refused(
    tmp_path: Path, folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    suite = write_suite(tmp_path / "suite.yaml", folders["bert"])
    assert main(["bench", "run", str(suite), "--out", "out", "--log-predictions", "-1"]) == 2
    assert "--log-predictions -1: expected 0 or more" in capsys.readouterr().err


def test_a_suite_writes_the_curves_of_its_cells(
    tmp_path: Path, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    plain = Follow.on_train_batch_end

    def spied(self: Follow, *given: Any) -> None:
        plain(self, *given)
        written.append(self.path.read_text())

    monkeypatch.setattr(Follow, "on_train_batch_end", spied)
    suite = write_suite(tmp_path / "suite.yaml", folders["bert"], strategies={"full": STRATEGIES["full"]}, seeds=[0])
    words = ["--workers", "0", "--pack", "1", "--wandb", "offline", "--log-predictions", "3"]
    assert main(["bench", "run", str(suite), "--out", "out", *words]) == 0
    known = {record["id"]: record for record in read_records(Path("out"))}
    last = json.loads(written[-1].splitlines()[0])
    assert len(written[-1].splitlines()) == 1 + len(known[last["id"]]["history"])
    assert not Path("out/live").exists()
    tables = [path for path in Path("out/wandb").rglob("*.table.json") if path.name.startswith("predictions_")]
    assert {path.relative_to("out/wandb").parts[0] for path in tables} == {*known}
    assert all(len(json.loads(path.read_text())["data"]) % 3 == 0 for path in tables)
    assert {path.parent.parent.parent.name for path in Path("out").rglob("*.wandb")} == {*known, "summary-small"}


def test_runs_of_a_pack_write_theirs(tmp_path: Path, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    written: dict[str, list[Any]] = {}
    plain = Follow.on_train_batch_end

    def spied(self: Follow, *given: Any) -> None:
        plain(self, *given)
        if self._written:  # a step later than the run's own module reads its loss
            written[self.path.stem] = [json.loads(line) for line in self.path.read_text().splitlines()]

    monkeypatch.setattr(Follow, "on_train_batch_end", spied)
    monkeypatch.setattr("lm_lab.benchmark.packed_cells.GAIN", 0.0)  # however little is gained
    monkeypatch.setattr("lm_lab.benchmark.packed_cells.SMALL", 10**6)
    suite = write_suite(tmp_path / "s.yaml", folders["bert"], strategies={"full": STRATEGIES["full"]})
    assert main(["bench", "run", str(suite), "--out", "out", "--workers", "0", "--wandb", "offline"]) == 0
    packed = [record for record in read_records(Path("out")) if record.get("packed_with")]
    assert packed, [record.get("apart") for record in read_records(Path("out"))]
    for record in packed:
        known, *rows = written[record["id"]]
        assert known["cell"] == record["cell"]
        assert len(rows) == len(record["history"]) - 1  # the last one is read when the step is over
        assert [row["loss"] for row in rows] == [row["loss"] for row in record["history"][:-1]]
        lines = logged(Path("out/wandb") / record["id"])
        assert curves(lines)["train/loss"] == pytest.approx([row["loss"] for row in record["history"]])

"""`lm-lab track sync` uploads by a real `wandb sync`, to a server of the test's own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import wandb
from fake_results import records
from offline_runs import logged, of_kind
from stand_in import KEY, StandIn, standing_in

from lm_lab.cli import main
from lm_lab.results.records import CellRecord
from lm_lab.tracking.suites import log_cell
from lm_lab.tracking.sync import offline_runs

SECONDS = 90


@pytest.fixture(scope="module")
def cells() -> list[CellRecord]:
    found = [record for record, _ in records() if record["status"] == "done"]
    return found[:2]


@pytest.fixture
def suite(cells: list[CellRecord], tmp_path: Path) -> Path:
    root = tmp_path / "results"
    for record in cells:
        assert log_cell(record, root, project="mine", mode="offline")
    return root


def sync(root: Path, server: StandIn, home: Path) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment = own | {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY, "HOME": str(home)}
    command = [sys.executable, "-m", "lm_lab", "track", "sync", str(root)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)


def test_runs_are_uploaded_once_and_whole(suite: Path, cells: list[CellRecord], tmp_path: Path) -> None:
    with standing_in() as server:
        done = sync(suite, server, tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "uploaded: 2 runs; 0 were there already; 0 failed" in done.stdout
        sent = [given for given in server.variables("UpsertBucket") if given["displayName"]]
        assert {given["name"] for given in sent} == {record["id"] for record in cells}
        assert {given["groupName"] for given in sent} == {"glue_small"}
        for record in cells:
            rows = [json.loads(line) for line in server.streamed[record["id"]]["wandb-history.jsonl"]]
            assert [row["train/loss"] for row in rows] == pytest.approx([row["loss"] for row in record["history"]])
        server.asked.clear()
        again = sync(suite, server, tmp_path)
        assert "uploaded: 0 runs; 2 were there already; 0 failed" in again.stdout
        assert server.asked == []


def test_an_upload_goes_on_where_it_ended(suite: Path, cells: list[CellRecord], tmp_path: Path) -> None:
    first = offline_runs(suite).waiting[0]
    next(first.glob("*.wandb")).with_suffix(".wandb.synced").touch()
    with standing_in() as server:
        assert "uploaded: 1 runs; 1 were there already" in sync(suite, server, tmp_path).stdout
        assert len(server.streamed) == 1


def test_artifacts_go_up_with_their_run(tmp_path: Path) -> None:
    (tmp_path / "delta").mkdir()
    (tmp_path / "delta" / "delta.safetensors").write_bytes(b"weights")
    from lm_lab.tracking.wandb import WandB

    logger = WandB(project="mine", save_dir=str(tmp_path / "runs"), mode="offline")
    about = {"task": "sst2", "fingerprints": {"data": "d" * 16, "weights": "w" * 16}}
    logger.log_metrics({"train/loss": 1.0}, step=0)
    logger.conclude(tmp_path / "delta", {"validation/accuracy": 0.5}, about)
    logger.finish(0)
    assert len(of_kind(logged(tmp_path / "runs"), "artifact")) == 2
    with standing_in() as server:
        done = sync(tmp_path / "runs", server, tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        kinds = {given["input"]["artifactTypeName"] for given in server.variables("CreateArtifact")}
        assert kinds == {"dataset", "model"}
        assert server.uploaded["/put/artifact/delta.safetensors"] == b"weights"
        assert len(server.variables("CommitArtifact")) == 2
        assert len(server.variables("UseArtifact")) == 1  # the data: where the run came from


def test_without_a_key_it_says_so_at_once(suite: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(wandb, "login", lambda **_: False)
    assert main(["track", "sync", str(suite)]) == 2
    assert "there is no key" in capsys.readouterr().err
    assert main(["track", "sync", str(suite), "--dry-run"]) == 0
    assert "2 to upload, 0 uploaded already" in capsys.readouterr().out


def test_a_folder_without_runs_is_the_users_mistake(tmp_path: Path, capsys) -> None:
    assert main(["track", "sync", str(tmp_path / "nowhere")]) == 2
    assert "is no folder" in capsys.readouterr().err
    assert main(["track", "sync", str(tmp_path)]) == 2
    assert "holds no offline run of W&B" in capsys.readouterr().err

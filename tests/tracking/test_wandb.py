import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_results import records, suite
from lightning.pytorch.loggers import WandbLogger

from lm_lab.benchmark.results import CellRecord, write_record
from lm_lab.errors import UsageError
from lm_lab.tracking import session
from lm_lab.tracking.wandb import WandB, log_cell, log_summary


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    session._warned.clear()


@pytest.fixture(scope="module")
def cells() -> list[Any]:
    return [pair for pair in records() if pair[0]["cell"]["task"] in ("sst2", "cola")]


def find(cells: list[Any], status: str) -> CellRecord:
    return next(record for record, _ in cells if record["status"] == status)


def logged(folder: Path) -> list[dict[str, Any]]:
    """The records of the one offline run under `folder`, read by W&B's own inspector."""
    (path,) = folder.rglob("*.wandb")
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(path)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


def test_a_cell_can_be_read_back(tmp_path, cells):
    record = find(cells, "done")
    assert log_cell(record, tmp_path)
    text = json.dumps(logged(tmp_path / "wandb" / record["id"]))
    print(text[:6000])
    assert record["id"] in text

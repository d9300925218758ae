"""Runs that start side by side have a folder each."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from lightning.pytorch.utilities import rank_zero_only

from lm_lab.training.resuming.run_folders import RunFolder

RUNS = 8


def test_runs_started_at_one_moment_share_no_folder(tmp_path: Path) -> None:
    start = Barrier(RUNS)

    def run(_: int) -> str:
        logger = RunFolder(tmp_path)
        start.wait()
        return logger.log_dir

    with ThreadPoolExecutor(RUNS) as pool:
        folders = set(pool.map(run, range(RUNS)))
    assert folders == {f"{tmp_path}/lightning_logs/version_{n}" for n in range(RUNS)}


def test_a_folder_is_taken_once_and_follows_the_last(tmp_path: Path) -> None:
    (tmp_path / "lightning_logs" / "version_4").mkdir(parents=True)
    logger = RunFolder(tmp_path)
    assert logger.version == logger.version == 5
    logger.log_metrics({"loss": 1.0}, step=0)
    logger.save()
    assert (tmp_path / "lightning_logs" / "version_5" / "metrics.csv").exists()


def test_other_processes_of_a_run_take_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert RunFolder(tmp_path).version == 0
    assert not list(tmp_path.iterdir())

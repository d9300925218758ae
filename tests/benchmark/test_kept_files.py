"""What is kept of frozen parts stays within a limit, and what is in use stays."""

import gc
import os
from pathlib import Path

import pytest
import torch
from suites import run_alone, write_suite

from lm_lab.benchmark.executors import InProcess
from lm_lab.benchmark.fingerprints import cache_fingerprints
from lm_lab.benchmark.kept_files import Held, limit, trim
from lm_lab.benchmark.plan import make_plan
from lm_lab.benchmark.progress import Progress
from lm_lab.benchmark.runner import run_suite
from lm_lab.benchmark.suite import load_suite
from lm_lab.errors import UsageError

KIB = 1 / 2**20  # of a GiB


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four things kept of a KiB each, used one after the other: one is two files in a folder below."""
    names = ["a.safetensors", "b.safetensors", "boundaries/c-0.states", "boundaries/c.json", "d.safetensors"]
    for age, name in enumerate(names):
        path = tmp_path / "features" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(512 if "c" in path.stem else 1024))
        os.utime(path, (age, age))
    (tmp_path / "features" / "a.lock").write_bytes(bytes(4096))
    return tmp_path / "features"


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


def test_the_least_recently_used_go_first_and_what_belongs_together_goes_together(folder, monkeypatch):
    monkeypatch.setenv("LM_LAB_FEATURES", str(3 * KIB))
    trim(folder)
    assert left(folder) == ["b.safetensors", "c-0.states", "c.json", "d.safetensors"]
    os.utime(folder / "b.safetensors")
    monkeypatch.setenv("LM_LAB_FEATURES", str(2.5 * KIB))
    trim(folder)
    assert left(folder) == ["b.safetensors", "d.safetensors"]


def test_what_is_in_use_stays(folder, monkeypatch):
    monkeypatch.setenv("LM_LAB_FEATURES", "0")
    held = Held([folder / "a.safetensors"])
    states = torch.zeros(3)
    Held([folder / "boundaries/c-0.states"]).until_gone(states)
    trim(folder)
    assert left(folder) == ["a.safetensors", "c-0.states", "c.json"]
    held.release()
    trim(folder)
    assert left(folder) == ["c-0.states", "c.json"]
    del states
    gc.collect()
    trim(folder)
    assert left(folder) == []


def test_use_is_what_counts(folder, monkeypatch):
    monkeypatch.setenv("LM_LAB_FEATURES", str(KIB))
    Held([folder / "a.safetensors"]).release()
    trim(folder)
    assert left(folder) == ["a.safetensors"]


def test_without_a_setting_there_is_room(folder):
    trim(folder)
    assert len(left(folder)) == 5


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("strategy", ["LinearProbe", "PartialFineTuning"])
def test_a_run_reads_what_a_tight_limit_takes_away_afterwards(folders, tmp_path, monkeypatch, strategy):
    """Each cell has what it needs; what nobody reads is gone, but for what the last cell in this process had."""
    strategies = {"own": {"class_path": strategy, "tune": {"learning_rate": [1e-3, 1e-2]}}}
    defaults = {
        "data": {"train_limit": 40, "validation_limit": 20, "holdout": 8, "batch_size": 8},
        "trainer": {"max_epochs": 2, "accelerator": "cpu"},
    }
    path = write_suite(tmp_path / "s.yaml", folders["bert"], strategies=strategies, defaults=defaults, seeds=[0])
    first, second = make_plan(load_suite(path), {}, cache_fingerprints()).cells
    expected = [run_alone(cell, tmp_path / "roomy")["score"] for cell in (first, second)]
    monkeypatch.setenv("LM_LAB_FEATURES", "0")
    found = [run_alone(cell, tmp_path / "tight") for cell in (first, second)]
    assert [record["score"] for record in found] == expected
    assert all(record["clocks"]["feature_seconds"] > 0 for record in found)
    gc.collect()
    trim(tmp_path / "tight" / "features")
    assert len({name.partition(".")[0].partition("-")[0] for name in left(tmp_path / "tight" / "features")}) <= 1


@pytest.mark.parametrize("name", ["LM_LAB_FEATURES", "LM_LAB_BOUNDARIES"])
@pytest.mark.parametrize("given", ["much", "-1", "nan"])
def test_what_is_no_size_is_told_before_a_cell_runs(folders, tmp_path, monkeypatch, name, given):
    monkeypatch.setenv(name, given)
    with pytest.raises(UsageError, match=f"{name}={given}: expected a number of GiB"):
        limit(name)
    suite = load_suite(write_suite(tmp_path / "s.yaml", folders["bert"]))
    with pytest.raises(UsageError, match="GiB"):
        run_suite(suite, tmp_path / "out", InProcess(), Progress(), lambda _: None)
    assert not (tmp_path / "out").exists()

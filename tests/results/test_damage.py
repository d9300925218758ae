"""Damaged files of results heal when the suite runs again, or are named; data that changed fails its cells."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from suites import STRATEGIES, run_alone, write_suite

from lm_lab.atomic import WRITING
from lm_lab.benchmark.executors import InProcess
from lm_lab.benchmark.fingerprints import cache_fingerprints
from lm_lab.benchmark.plan import make_plan
from lm_lab.benchmark.progress import Progress
from lm_lab.benchmark.runner import run_suite
from lm_lab.benchmark.suite import load_suite
from lm_lab.errors import UsageError
from lm_lab.report.page import write_report
from lm_lab.results.predictions import read_predictions
from lm_lab.results.records import read_baselines, read_records, read_suite, scan

FULL = {"full": STRATEGIES["full"]}
OWN = {"class_path": "OwnTexts", "name": "own", "holdout": 8, "train_limit": 16}


def run(path: Path, root: Path) -> list[str]:
    """Run a suite; the ids of the cells that ran."""
    suite, ran = load_suite(path), list[Any]()
    run_suite(suite, root, InProcess(), Progress(), ran.append)
    return [record["id"] for record in ran]


@pytest.fixture
def suite_path(tmp_path: Path, folders: dict[str, Path]) -> Path:
    return write_suite(tmp_path / "s.yaml", folders["bert"], strategies=FULL)


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40] + bytes(40))


def test_damaged_results_heal_when_the_same_command_runs(suite_path: Path, tmp_path: Path) -> None:
    root = tmp_path / "out"
    first, second = run(suite_path, root)
    before = [(r["score"], read_predictions(root, r["id"]).prediction.tolist()) for r in read_records(root)]
    baselines, suite = read_baselines(root), read_suite(root)
    damage(root / "predictions" / f"{first}.parquet")
    damage(root / "cells" / f"{second}.json")
    for name in ("suite.json", "baselines.json"):
        damage(root / name)
    (root / "cells" / f"{WRITING}abc").write_text("half")
    (root / "predictions" / f"{WRITING}abc").write_text("half")
    assert sorted(run(suite_path, root)) == sorted([first, second])
    assert [(r["score"], read_predictions(root, r["id"]).prediction.tolist()) for r in read_records(root)] == before
    assert (read_baselines(root), read_suite(root)) == (baselines, suite)
    assert not list(root.rglob(f"{WRITING}*"))
    assert run(suite_path, root) == []


def test_predictions_of_older_versions_run_again_where_they_cannot_be_read(suite_path: Path, tmp_path: Path) -> None:
    root = tmp_path / "out"
    first, _ = run(suite_path, root)
    path = root / "cells" / f"{first}.json"
    record = json.loads(path.read_text())
    del record["predictions"]
    path.write_text(json.dumps(record))
    assert run(suite_path, root) == []
    (root / "predictions" / f"{first}.parquet").unlink()
    assert run(suite_path, root) == [first]


def test_a_damaged_suite_file_is_no_licence_to_mix_suites(
    suite_path: Path, tmp_path: Path, folders: dict[str, Path]
) -> None:
    root = tmp_path / "out"
    run(suite_path, root)
    (root / "suite.json").write_text("{")
    with pytest.raises(UsageError, match="holds results of the suite 'small', not of 'other'"):
        run(write_suite(tmp_path / "other.yaml", folders["bert"], name="other"), root)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"score": {}}, "it is damaged: score is {}"),
        ({"score": {"validation": float("nan")}}, "it is damaged: score"),
        ({"ledger": {"trained": "many"}}, "it is damaged: ledger"),
        ({"cell": 3}, "its cell is damaged"),
        ({"cell": {}}, "its cell is damaged: no coordinates"),
        ({"status": "fine"}, "its status is 'fine'"),
        ({"id": "another"}, "it is the record of 'another'"),
        ({"history": [{}]}, "it is damaged: history"),
    ],
)
def test_a_damaged_record_is_named_and_left_out(results: Path, change: dict[str, Any], reason: str) -> None:
    whole = len(read_records(results))
    path = next(path for path in (results / "cells").iterdir() if '"status": "done"' in path.read_text())
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    found = scan(results)
    assert len(found.records) == whole - 1
    (line,) = found.broken
    assert reason in line
    assert path.name in write_report(results, draws=20).read_text()


def test_damaged_features_are_computed_again(tmp_path: Path, folders: dict[str, Path]) -> None:
    strategies = {"probe": {"class_path": "LinearProbe", "model": {"learning_rate": 0.01}}}
    path = write_suite(tmp_path / "s.yaml", folders["bert"], strategies=strategies, seeds=[0])
    (planned,) = make_plan(load_suite(path), {}, cache_fingerprints()).cells
    whole = run_alone(planned, tmp_path / "out")
    files = sorted((tmp_path / "out" / "features").glob("*.safetensors"))
    contents = [file.read_bytes() for file in files]
    damage(files[0])  # zeroed bytes
    files[1].write_bytes(contents[1][:100])  # truncated
    again = run_alone(planned, tmp_path / "out")
    assert again["status"] == "done"
    assert again["score"] == whole["score"]
    assert all(len(file.read_bytes()) == len(content) for file, content in zip(files, contents, strict=True))


@pytest.fixture
def own(tmp_path: Path, folders: dict[str, Path]) -> tuple[Path, Path]:
    """A suite on texts of one's own, and the file to train on."""
    folder = tmp_path / "own"
    folder.mkdir()
    for name in ("train", "validation"):
        rows = [{"sentence": f"w{i} w{i + 1}", "label": "yes" if i % 2 else "no"} for i in range(40)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = {"mine": {"data": OWN | {"source": str(folder)}}}
    suite = write_suite(tmp_path / "s.yaml", folders["bert"], tasks=tasks, strategies=FULL)
    return suite, folder / "train.jsonl"


def test_data_that_is_edited_during_a_suite_fails_its_cells_by_name(own: tuple[Path, Path], tmp_path: Path) -> None:
    path, train = own
    first, second = make_plan(load_suite(path), {}, cache_fingerprints()).cells
    assert run_alone(first, tmp_path / "out")["status"] == "done"
    train.write_text(train.read_text().replace("w3 ", "w9 "))
    record = run_alone(second, tmp_path / "out")
    assert record["status"] == "failed"
    assert "the data of 'mine' changed while the suite ran" in (record["reason"] or "")
    assert record["traceback"] is None
    assert len(run(path, tmp_path / "out")) == 2


def test_weights_that_are_replaced_during_a_suite_fail_its_cells(own: tuple[Path, Path], tmp_path: Path) -> None:
    first, _ = make_plan(load_suite(own[0]), {}, cache_fingerprints()).cells
    other = replace(first, fingerprints=first.fingerprints | {"weights": "0123"})
    record = run_alone(other, tmp_path / "out")
    assert "the weights of 'tiny' changed while the suite ran: 0123 when it was planned" in (record["reason"] or "")


def test_a_disk_that_is_full_is_one_line(suite_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device", "cells")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="'cells' cannot be written: No space left on device"):
        run(suite_path, tmp_path / "out")

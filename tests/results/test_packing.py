"""A packed run says what the run said, and goes on from where it was."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fake_results import records, suite
from suites import STRATEGIES, write_suite

from lm_lab.cli import main
from lm_lab.errors import UsageError
from lm_lab.report.page import write_report
from lm_lab.results import packed
from lm_lab.results.packing import pack, unpack
from lm_lab.results.predictions import Predictions, read_predictions
from lm_lab.results.records import read_records, scan, write_record


@pytest.fixture
def results(tmp_path: Path) -> Path:
    root = tmp_path / "run"
    for record, predictions in records():
        write_record(root, record, predictions)
    (root / "suite.json").write_text(json.dumps(suite()))
    return root


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_report_is_the_same_to_the_byte(results: Path, tmp_path: Path) -> None:
    pack(results, tmp_path / "packed")
    assert set(files(tmp_path / "packed")) == {"records.parquet", "predictions.parquet", "suite.json"}
    for root, out in ((results, "before"), (tmp_path / "packed", "after")):
        write_report(root, tmp_path / out, draws=200)
    assert files(tmp_path / "before") == files(tmp_path / "after")


def test_every_record_and_prediction_comes_back(results: Path, tmp_path: Path) -> None:
    counts = Predictions(*map(np.array, (["validation"] * 2, [4, 5], [[1.0, 2.0], [0.0, 3.0]], [np.nan, 1.0])))
    first = read_records(results)[0]
    write_record(results, first, counts)
    before = {r["id"]: read_predictions(results, r["id"]) for r in read_records(results) if "predictions" in r}
    pack(results, tmp_path / "packed")
    assert read_records(tmp_path / "packed") == read_records(results)
    assert before[first["id"]].prediction.tolist() == counts.prediction.tolist()
    for name, kept in before.items():
        found = read_predictions(tmp_path / "packed", name)
        assert all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(kept, found, strict=True))
    unpack(tmp_path / "packed")
    assert not (tmp_path / "packed" / packed.RECORDS).exists()
    assert {r["id"]: r["scores"] for r in read_records(tmp_path / "packed") if r["status"] == "done"} == {
        r["id"]: r["scores"] for r in read_records(results) if r["status"] == "done"
    }
    for record in read_records(tmp_path / "packed"):
        if record["id"] in before:
            read_predictions(tmp_path / "packed", record["id"], record["predictions"])


def test_a_suite_goes_on_from_its_packed_results(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_suite(tmp_path / "suite.yaml", folders["bert"], strategies={"probe": STRATEGIES["probe"]})
    command = ["bench", "run", str(path), "--workers", "0", "--wandb", "disabled", "--out"]
    assert main([*command, "out"]) == 0
    before = {record["id"]: record["score"] for record in read_records(Path("out"))}
    assert main(["bench", "pack", "out", "--out", "packed"]) == 0
    assert main(["bench", "status", "packed"]) == 0
    capsys.readouterr()
    assert main([*command, "packed"]) == 0
    assert "[1/" not in (said := capsys.readouterr().out)  # nothing ran
    assert said.splitlines()[-1] == f"{len(before)} of {len(before)} cells done"
    assert {record["id"]: record["score"] for record in read_records(Path("packed"))} == before


def test_a_cells_own_file_stands_before_the_packed_one(results: Path) -> None:
    pack(results, results)
    record = read_records(results)[0]
    write_record(results, {**record, "reason": "run again"})
    assert read_records(results)[0]["reason"] == "run again"


def test_damaged_files_are_named(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "packed"
    pack(results, out)
    whole = files(out)
    for name in (packed.RECORDS, packed.PREDICTIONS):
        content = bytearray(whole[name])
        content[len(content) // 3] ^= 255
        (out / name).write_bytes(content)
    assert len(scan(out).broken) == 1
    assert "records.parquet: cannot be read" in scan(out).broken[0]
    done = next(r["id"] for r in read_records(results) if r["status"] == "done")
    with pytest.raises(UsageError, match=r"predictions.parquet: damaged"):
        read_predictions(out, done)


def test_what_cannot_be_packed(results: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no suite.json here"):
        pack(tmp_path / "nowhere", tmp_path / "out")
    shutil.copytree(results, tmp_path / "other")
    (tmp_path / "other/suite.json").write_text(json.dumps(suite() | {"name": "other"}))
    with pytest.raises(UsageError, match="holds results of the suite 'other'"):
        pack(results, tmp_path / "other")
    next((results / "cells").iterdir()).write_text("{")
    with pytest.raises(UsageError, match="before packing"):
        pack(results, tmp_path / "out")

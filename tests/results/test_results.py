import json
import os
import subprocess
import sys

import numpy as np
import pytest
from fake_results import records

from lm_lab.errors import UsageError
from lm_lab.results.predictions import Predictions, read_predictions
from lm_lab.results.records import read_record, read_records, read_suite, scan, write_record


@pytest.fixture
def record():
    return next(records())[0]


@pytest.fixture
def predictions():
    return Predictions(
        np.array(["validation", "validation", "test"]),
        np.array([7, 2**40, -1]),
        np.array([0.25, 1.0, 3.5]),
        np.array([1.0, 0.0, np.nan]),
    )


def everything_under(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_record_comes_back_as_it_was(tmp_path, record, predictions):
    path = write_record(tmp_path, record, predictions)
    assert path == tmp_path / "cells" / f"{record['id']}.json"
    assert read_records(tmp_path) == [record]
    assert read_record(tmp_path, record["id"]) == record
    back = read_predictions(tmp_path, record["id"])
    for written, read in zip(predictions, back, strict=True):
        np.testing.assert_array_equal(written, read)
    assert back.id.dtype == np.int64


def test_a_cell_that_was_not_run_has_no_record(tmp_path):
    assert read_record(tmp_path, "nothing") is None
    assert read_records(tmp_path) == []


def test_the_record_appears_after_its_predictions(tmp_path, record, predictions, monkeypatch):
    renamed = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (renamed.append(b.suffix), replace(a, b)))
    write_record(tmp_path, record, predictions)
    assert renamed == [".parquet", ".json"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_crash_leaves_the_old_record_whole_and_no_rest(tmp_path, record, monkeypatch, step):
    write_record(tmp_path, record)

    def crash(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, step, crash)
    with pytest.raises(KeyboardInterrupt):
        write_record(tmp_path, {**record, "reason": "a second run"})
    assert read_records(tmp_path) == [record]
    assert everything_under(tmp_path) == [f"{record['id']}.json"]


def test_a_crash_before_the_record_leaves_the_cell_undone(tmp_path, record, predictions, monkeypatch):
    replace = os.replace

    def crash_at_json(source, target):
        if target.suffix == ".json":
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", crash_at_json)
    with pytest.raises(KeyboardInterrupt):
        write_record(tmp_path, record, predictions)
    assert read_record(tmp_path, record["id"]) is None
    assert everything_under(tmp_path) == [f"{record['id']}.parquet"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [('{"id": "x", "cel', "cannot be read"), ("[]", "not a cell record"), ('{"id": 1}', "not a cell record")],
)
def test_a_broken_file_is_named_and_the_others_are_read(tmp_path, record, content, reason):
    write_record(tmp_path, record)
    broken = tmp_path / "cells" / "broken.json"
    broken.write_text(content)
    found = scan(tmp_path)
    assert found.records == [record]
    (line,) = found.broken
    assert line.startswith(str(broken))
    assert reason in line
    assert read_record(tmp_path, "broken") is None


def test_a_record_of_another_schema_is_not_mixed_in(tmp_path, record):
    write_record(tmp_path, {**record, "schema": 99})
    assert scan(tmp_path).records == []
    assert "schema 99, this version reads 2" in scan(tmp_path).broken[0]


def test_a_record_whose_cell_had_a_field_for_each_axis_is_read_as_it_stands(tmp_path):
    """The committed results were written so."""
    record = next(record for record, _ in records() if record["cell"]["knob"])
    path = write_record(tmp_path, record)
    now = read_records(tmp_path)
    old = json.loads(path.read_text())
    at, knob = old["cell"].pop("coordinates"), old["cell"].pop("knob")
    old["cell"] |= {"knob": knob, "size": at.pop(knob)} | at
    path.write_text(json.dumps({**old, "schema": 1}))
    assert read_records(tmp_path) == now
    del old["cell"]["strategy"]
    path.write_text(json.dumps({**old, "schema": 1}))
    assert "schema 1, this version reads 2" in scan(tmp_path).broken[0]


@pytest.mark.parametrize("bad", ["../escape", "", ".hidden", "a/b"])
def test_an_id_that_is_no_file_name_is_refused(tmp_path, record, bad):
    with pytest.raises(UsageError, match="cannot be a file name"):
        write_record(tmp_path, {**record, "id": bad})


def test_missing_or_torn_predictions_say_how_to_mend(tmp_path, record, predictions):
    with pytest.raises(UsageError, match="The suite's command runs this cell again"):
        read_predictions(tmp_path, "absent")
    write_record(tmp_path, record, predictions)
    path = tmp_path / "predictions" / f"{record['id']}.parquet"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UsageError, match="no readable predictions"):
        read_predictions(tmp_path, record["id"])


def test_a_folder_without_results_is_explained(tmp_path):
    with pytest.raises(UsageError, match=r"no suite.json here. Give the folder"):
        read_suite(tmp_path)
    (tmp_path / "suite.json").write_text("{")
    with pytest.raises(UsageError, match="damaged"):
        read_suite(tmp_path)


def test_importing_results_is_light():
    heavy = "{'torch', 'plotly', 'wandb', 'scipy', 'transformers', 'lightning', 'pyarrow'}"
    code = f"import sys, lm_lab.results.records; assert not {heavy} & sys.modules.keys(), {heavy} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)

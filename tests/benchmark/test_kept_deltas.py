"""`keep: best`: the winners' deltas stay, and predict what the records say."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from suites import write_suite

from lm_lab import bind
from lm_lab.benchmark.executors import InProcess
from lm_lab.benchmark.progress import Progress
from lm_lab.benchmark.runner import run_suite
from lm_lab.benchmark.suite import load_suite
from lm_lab.data import GLUE
from lm_lab.errors import UsageError
from lm_lab.models.loading import load_adaptation
from lm_lab.results.predictions import read_predictions
from lm_lab.results.records import read_records


def run(path: Path, root: Path, pack: int) -> None:
    run_suite(load_suite(path), root, InProcess(), Progress(), lambda record: None, pack=pack)


def kept(root: Path) -> dict[str, Path]:
    return {path.name: path for path in (root / "deltas").iterdir() if path.is_dir()}


@pytest.mark.parametrize("pack", [1, 4])
def test_winners_of_the_first_seed_stay_and_predict_what_was_recorded(
    folders: dict[str, Path], tmp_path: Path, pack: int
) -> None:
    path, root = write_suite(tmp_path / "suite.yaml", folders["bert"], keep="best"), tmp_path / "out"
    run(path, root, pack)
    records = {record["id"]: record for record in read_records(root)}
    assert len(kept(root)) == 5  # probe at two layers, lora at two ranks, full
    data = GLUE("sst2", source="microworld", validation_limit=50)
    for cell, folder in kept(root).items():
        record = records[cell]
        assert record["cell"]["seed"] == 0
        model = load_adaptation(folder)
        bind(model, data)
        rows = data.rows("validation")
        predictions = read_predictions(root, cell)
        assert predictions is not None
        expected = predictions.prediction[predictions.split == "validation"]
        found = model.predict([text for (text,) in zip(*rows.texts, strict=True)])
        ids = np.argsort(rows.ids)
        assert [model.task.labels.index(found[i]["prediction"]) for i in ids] == expected.astype(int).tolist()
    listed = json.loads((root / "deltas/index.json").read_text())
    assert {row["delta"] for row in listed} == set(kept(root))
    assert all(records[row["delta"]]["score"] == row["score"] for row in listed)


def test_a_suite_that_kept_none_trains_its_winners_once_more(folders: dict[str, Path], tmp_path: Path) -> None:
    lora = {"class_path": "LoRA", "knob": "rank", "sizes": [2], "tune": {"learning_rate": [1e-3, 1e-2]}}
    some = {"strategies": {"lora": lora}, "seeds": [0]}
    root = tmp_path / "out"
    run(write_suite(tmp_path / "suite.yaml", folders["bert"], **some), root, 1)
    before = {record["id"]: record for record in read_records(root)}
    assert not (root / "deltas").exists()
    run(write_suite(tmp_path / "suite.yaml", folders["bert"], keep="best", **some), root, 1)
    ((cell, folder),) = kept(root).items()
    after = {record["id"]: record for record in read_records(root)}
    assert after[cell]["score"] == before[cell]["score"]
    assert before.keys() == after.keys()
    shutil.rmtree(folder)
    run(tmp_path / "suite.yaml", root, 1)
    assert set(kept(root)) == {cell}


def test_nothing_else_is_kept(folders: dict[str, Path], tmp_path: Path) -> None:
    path = write_suite(tmp_path / "suite.yaml", folders["bert"], keep="all")
    with pytest.raises(UsageError, match="'keep' is 'all'; expected best, or nothing"):
        load_suite(path)

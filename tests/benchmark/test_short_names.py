"""A suite names its data modules by short names, and the shipped one on a csv says which adaptation it is for."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lm_lab.benchmark.executors import InProcess
from lm_lab.benchmark.fingerprints import build_data
from lm_lab.benchmark.progress import Progress
from lm_lab.benchmark.runner import run_suite
from lm_lab.benchmark.suite import Suite, load_suite
from lm_lab.data.modules.own import OwnTexts
from lm_lab.models.loading import load_adaptation
from lm_lab.report.page import write_report
from lm_lab.results.records import read_records
from lm_lab.strategies import LinearProbe

OWN = Path(__file__).parents[2] / "benchmarks" / "own.yaml"
ROWS: dict[str, list[dict[str, Any]]] = {
    "OwnTexts": [{"sentence": f"text {i}", "label": "ab"[i % 2]} for i in range(30)],
    "MultiLabelTexts": [{"sentence": f"text {i}", "label": ["a", "b"][: i % 3]} for i in range(30)],
    "TokenClassification": [{"tokens": ["so", "Ann"], "tags": ["O", "B-PER"]}] * 30,
    "MultipleChoice": [{"context": "it was", "options": ["a", "b"], "answer": i % 2} for i in range(30)],
    "Sequences": [{"source": f"text {i}", "target": "text"} for i in range(30)],
    "SQuAD": [
        {"id": str(i), "context": "it is red", "question": "what", "answers": {"text": ["red"], "answer_start": [6]}}
        for i in range(30)
    ],
}
_NAMES = {"OwnTexts": "name", "MultiLabelTexts": "name", "SQuAD": None}


@pytest.mark.parametrize("kind", ROWS)
def test_a_task_names_its_module_by_a_short_name(kind: str, tmp_path: Path) -> None:
    source = tmp_path / "mine.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in ROWS[kind]))
    named = {name: "mine"} if (name := _NAMES.get(kind, "task")) else {}
    suite = {
        "name": "short",
        "backbones": {"b": {"backbone": {"source": "s"}}},
        "tasks": {"mine": {"data": {"class_path": kind, "source": str(source), **named}}},
        "strategies": {"probe": {"class_path": "LinearProbe"}},
    }
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    cell = next(load_suite(tmp_path / "suite.yaml").variants())
    data = build_data(load_suite(tmp_path / "suite.yaml").config(cell)["data"])
    assert type(data).__name__ == kind
    assert 0 < len(data.rows("validation")) < len(data.rows("train")) < 30


def test_the_shipped_suite_tells_which_adaptation_suits_a_csv(folders: dict[str, Path], tmp_path: Path) -> None:
    lines = [f"it was {('fine', 'bad')[i % 2]} .,{('good', 'bad')[i % 2]}" for i in range(80)]
    Path("reviews.csv").write_text("\n".join(["review,verdict", *lines]) + "\n")
    source = yaml.safe_load(OWN.read_text())
    source["backbones"]["minilm"]["backbone"]["source"] = str(folders["bert"])
    source["defaults"]["trainer"]["accelerator"] = "cpu"
    root = tmp_path / "own"
    run_suite(Suite(source), root, InProcess(), Progress(), lambda _: None)
    records = read_records(root)
    assert {record["status"] for record in records} == {"done"}
    assert {record["cell"]["coordinates"]["strategy"] for record in records} == {"probe", "lora", "adapter", "full"}
    assert len(records) == 4 * 6  # four rates, and the winner with two seeds more
    page = write_report(root, draws=50).read_text()
    assert all(name in page for name in ("probe", "lora", "adapter", "full", "reviews"))
    kept = [path.parent for path in (root / "deltas").rglob("adaptation.json")]
    assert len(kept) == 4
    models = [load_adaptation(str(path)) for path in kept]
    (probe,) = (model for model in models if isinstance(model.strategy, LinearProbe))
    answers = probe.predict(["it was fine .", "it was bad ."])
    assert [answer["prediction"] for answer in answers] == ["good", "bad"]


@pytest.mark.parametrize(("holdout", "held"), [(0.1, 7), (0.5, 36), (20, 20), (0, 0)])
def test_a_share_of_the_training_rows_is_held_out(holdout: float, held: int) -> None:
    lines = [f"text {i},{'ab'[i % 2]}" for i in range(80)]
    Path("mine.csv").write_text("\n".join(["sentence,label", *lines]) + "\n")
    whole = len(OwnTexts(source="mine.csv").rows("train"))
    data = OwnTexts(source="mine.csv", holdout=holdout)
    assert whole == 71
    assert len(data.rows("train")) == whole - held
    if held:
        assert len(data.rows("selection")) == held
        assert not set(data.rows("selection").ids) & set(data.rows("train").ids)

"""Tasks of other forms than GLUE's run through the benchmark and its report."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from suites import write_suite

from lm_lab.benchmark.executors import InProcess
from lm_lab.benchmark.progress import Progress
from lm_lab.benchmark.runner import run_suite
from lm_lab.benchmark.suite import load_suite
from lm_lab.data import microworld
from lm_lab.report.comparisons import compare
from lm_lab.report.page import write_report
from lm_lab.report.table import all_points
from lm_lab.results.predictions import read_predictions
from lm_lab.results.records import read_baselines, read_records, read_suite

STRATEGIES = {"probe": {"class_path": "LinearProbe"}, "full": {"class_path": "FullFineTuning"}}


def run(tmp_path: Path, backbone: Path, **data) -> Path:
    tasks = {"form": {"data": data}}
    path = write_suite(tmp_path / "suite.yaml", backbone, tasks=tasks, strategies=STRATEGIES)
    root = tmp_path / "results"
    suite = load_suite(path)
    executor = InProcess()
    run_suite(suite, root, executor, Progress(), lambda _: None)
    return root


@pytest.fixture
def squad(tmp_path):
    """Version 2 of the microworld's questions, a third of them without an answer, and another domain."""
    for name, split in (("train", "train"), ("validation", "validation"), ("news", "test")):
        rows = microworld.table("squad", split, rows=150).to_pylist()
        for row in rows[::3]:
            row["answers"] = {"text": [], "answer_start": []}
        folder = tmp_path / ("shifted" if name == "news" else "squad_v2")
        folder.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=microworld.schema("squad")), folder / f"{name}.parquet")
    return {
        "class_path": "lm_lab.data.SQuAD", "source": str(tmp_path), "version": 2, "domains": ["shifted/news"],
        "max_length": 64, "overlap": 8,
    }  # fmt: skip


def test_squad_runs_and_its_report_has_details_and_domains(squad, tmp_path, folders):
    root = run(tmp_path, folders["bert"], **squad)
    records = read_records(root)
    assert {record["status"] for record in records} == {"done"}, records[0]
    for record in records:
        assert set(record["score"]) == {"validation", "selection", "shifted/news"}
        assert record["score"]["validation"] == record["scores"]["validation"]["answer_f1"]
        kept = read_predictions(root, record["id"])
        own = kept.split == "validation"
        assert kept.prediction.shape == (len(kept.id), 2)
        assert kept.prediction[own, 1].mean() == pytest.approx(record["score"]["validation"])
        silent = record["details"]["validation"]["no_answer_accuracy"]
        assert kept.prediction[own & (kept.label == 0), 0].mean() == pytest.approx(silent)
    points = all_points(records, read_suite(root))
    gaps, problems = compare(root, points, records, draws=50)
    assert problems == []
    assert {gap.task for gap in gaps} == {"form"}
    known = read_baselines(root)["form"]  # a third of the questions have no answer
    assert known["what"] == "never an answer"
    assert known["score"] == pytest.approx((kept.label[own] == 0).mean())
    page = write_report(root, draws=50).read_text()
    for words in ("Beside the score", "no answer accuracy", "Other domains", "shifted/news"):
        assert words in page


FORMS = {
    "tags": ({"class_path": "lm_lab.data.TokenClassification", "task": "tags"}, {"entity_f1"}),
    "choice": ({"class_path": "lm_lab.data.MultipleChoice", "task": "choice"}, {"accuracy"}),
    "summary": (
        {"class_path": "lm_lab.data.Sequences", "task": "summary", "max_target": 10},
        {"rouge1", "rouge2", "rougeL"},
    ),
    "text to text": (
        {"class_path": "lm_lab.data.TextToTextGLUE", "task": "sst2", "scored": True},
        {"accuracy"},
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_runs_and_is_compared(form, tmp_path, folders):
    data, metrics = FORMS[form]
    root = run(tmp_path, folders["bert"], **data, source="microworld", max_length=64)
    records = read_records(root)
    assert {record["status"] for record in records} == {"done"}, records[0]
    assert all(set(record["scores"]["validation"]) == metrics for record in records)
    gaps, problems = compare(root, all_points(records, read_suite(root)), records, draws=50)
    assert problems == []
    assert gaps
    assert 0 <= read_baselines(root)["form"]["score"] < 1


def test_a_task_without_a_test_split_runs(tmp_path, folders):
    folder = tmp_path / "data" / "sst2"
    folder.mkdir(parents=True)
    for split in ("train", "validation"):
        pq.write_table(microworld.table("sst2", split, rows=100), folder / f"{split}.parquet")
    root = run(tmp_path, folders["bert"], task="sst2", source=str(tmp_path / "data"))
    assert {record["status"] for record in read_records(root)} == {"done"}

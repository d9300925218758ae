"""SuperGLUE's tasks: both layouts alike, trained by the command and in a suite, and the server's files."""

import json
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from made_superglue import ROWS, TASKS, rows, write_hub, write_own
from suites import write_suite

from lm_lab import adaptation_of, bind
from lm_lab.benchmark.executors import InProcess
from lm_lab.benchmark.progress import Progress
from lm_lab.benchmark.runner import run_suite
from lm_lab.benchmark.suite import load_suite
from lm_lab.cli import main
from lm_lab.config.imports import restrict
from lm_lab.data import GLUE, WSC, MultipleChoice, MultiRC, ReCoRD, WiC
from lm_lab.data.modules.base import TaskData
from lm_lab.errors import UsageError
from lm_lab.models.loading import load_adaptation
from lm_lab.report.page import write_report
from lm_lab.results.records import read_baselines, read_records
from lm_lab.strategies import FullFineTuning

FORMS: dict[str, tuple[type[TaskData], dict[str, Any]]] = {
    "boolq": (GLUE, {"task": "boolq"}),
    "cb": (GLUE, {"task": "cb"}),
    "copa": (MultipleChoice, {"task": "copa"}),
    "wic": (WiC, {}),
    "wsc": (WSC, {}),
    "multirc": (MultiRC, {}),
    "record": (ReCoRD, {}),
}
PAIRS = {"wic": "bi_encoder", "wsc": "bi_encoder"}
SCORES = {
    **{task: {"accuracy"} for task in ("boolq", "copa", "wic", "wsc")},
    "cb": {"accuracy", "f1_macro"},
    "multirc": {"option_f1", "question_exact"},
    "record": {"answer_f1", "exact_match"},
}


def data(task: str, source: str, **settings: Any) -> TaskData:
    form, own = FORMS[task]
    return form(**own, source=source, max_length=64, **settings)


@pytest.fixture(autouse=True)
def unrestricted() -> Any:
    yield
    restrict()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_the_hubs_schema_and_the_benchmarks_own_files_are_the_same(task: str, split: str, tmp_path: Path) -> None:
    hub, own = (data(task, write(tmp_path / name, task)) for name, write in (("hub", write_hub), ("own", write_own)))
    one, other = (each.rows(split) for each in (hub, own))
    assert b"".join(one.content()) == b"".join(other.content())
    assert len(one) == ROWS
    assert one.labelled.all() == (split != "test")
    assert one.labelled.any() == (split != "test")


def test_classes_have_the_hubs_order(tmp_path: Path) -> None:
    assert data("boolq", write_hub(tmp_path, "boolq")).rows("train").labels[:2].tolist() == [0, 1]
    cb = data("cb", write_own(tmp_path, "cb"))
    assert cb.task.labels == ("entailment", "contradiction", "neutral")
    assert cb.rows("train").labels[:3].tolist() == [0, 1, 2]


def test_copas_questions_are_in_words(tmp_path: Path) -> None:
    found = data("copa", write_hub(tmp_path, "copa")).rows("train")
    asked = ["What was the cause of this?", "What happened as a result?"]
    assert found.contexts[1:3] == [f"it was . {question}" for question in asked]
    assert found.options[0] == ["it was fine .", "it was bad ."]


def test_wsc_is_read_at_both_spans(tmp_path: Path) -> None:
    found = data("wsc", write_own(tmp_path, "wsc")).rows("train")
    assert found.texts[0] == found.texts[1]
    noun, pronoun = found.beside["marked"]
    assert noun[0] == [0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
    assert noun[1] == [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert pronoun[0] == [0, 0, 0, 0, 0, 0, 1, 0, 0, 0]


def test_multirc_is_a_question_with_its_answers(tmp_path: Path) -> None:
    found = data("multirc", write_hub(tmp_path, "multirc")).rows("train")
    assert found.contexts[1] == "the beast was fine . what was it ?"
    assert found.options[1] == ["fine", "bad", "a beast"]
    assert found.right[:2] == [[True, False, False], [True, False, True]]
    assert found.keys[1] == [1, 10, [100, 101, 102]]


def test_record_is_a_query_with_each_entity_in_its_gap(tmp_path: Path) -> None:
    found = data("record", write_own(tmp_path, "record")).rows("train")
    assert found.options[1] == [f"it was a {name} ." for name in ("tool", "plant", "beast")]
    assert found.contexts[1] == "the tool was fine . the plant saw the beast. it was fine ."
    assert found.right[1] == [False, False, True]
    assert found.golds[1] == ["beast"]


@pytest.mark.parametrize("task", TASKS)
def test_it_is_learned_saved_and_predicted(task: str, make: Any, tmp_path: Path) -> None:
    L.seed_everything(0, verbose=False)
    own = data(task, write_hub(tmp_path / "data", task), batch_size=8)
    model = adaptation_of(
        make(), FullFineTuning(), own.task, learning_rate=3e-3, pooling="mean", pairs=PAIRS.get(task, "cross_encoder")
    )
    quiet: dict[str, Any] = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar"), False)
    trainer = L.Trainer(max_epochs=30, accelerator="cpu", enable_model_summary=False, **quiet)
    trainer.fit(model, bind(model.model, own))
    assert {name.split("/")[1] for name in trainer.callback_metrics if name.startswith("validation/")} >= SCORES[task]
    assert trainer.callback_metrics["validation/score"] > 0.9
    model.model.save("delta")
    again = load_adaptation("delta")
    given = {
        "boolq": ("is it fine", "it is fine"),
        "cb": ("it is bad", "it is fine"),
        "copa": ("it was . What was the cause of this?", "it was bad .", "it was fine ."),
        "wic": ("it was fine .", "a fine is bad .", "2", "1"),
        "wsc": ("the beast saw the tool and it was fine .", "0", "the beast", "6", "it"),
        "multirc": ("the beast was fine . what was it ?", "bad", "fine"),
        "record": ("the plant saw the garment .", "it was a @placeholder .", "plant", "garment"),
    }[task]
    (answer,) = again.predict([given])
    expected = {
        "boolq": "True", "cb": "contradiction", "copa": "it was fine .", "wic": "same", "wsc": "True",
        "multirc": ["fine"], "record": "garment",
    }  # fmt: skip
    assert answer["prediction"] == expected[task]


@pytest.mark.parametrize("task", TASKS)
def test_the_command_fits_and_writes_what_the_server_reads(
    task: str, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_own(tmp_path / "data", task)
    words = ["--config", str(Path(__file__).parents[2] / "configs" / "tasks" / f"{task}.yaml"), "--data.source", source]
    words += ["--model.backbone.source", str(folders["bert"]), "--model.strategy", "LinearProbe"]
    quiet = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    length = ["--data.max_length", "64"]
    assert main(["adapt", "fit", *words, *length, *quiet, "--trainer.max_epochs", "1"]) == 0
    (delta,) = tmp_path.rglob("delta")
    assert main(["adapt", "predict", "--delta", str(delta), "--data.source", source, *quiet]) == 0
    (path,) = tmp_path.rglob(f"submission/{TASKS[task][0]}.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    kinds: dict[str, set[Any]] = {
        "boolq": {"true", "false"}, "cb": {"entailment", "contradiction", "neutral"}, "copa": {0, 1},
        "wic": {"true", "false"}, "wsc": {"True", "False"}, "record": {"tool", "plant", "beast", "garment"},
    }  # fmt: skip
    assert len(lines) == ROWS
    if task == "multirc":
        assert [line["idx"] for line in lines] == list(range(ROWS))
        (asked,) = lines[1]["passage"]["questions"]
        assert asked["idx"] == 10
        assert [answer["idx"] for answer in asked["answers"]] == [100, 101, 102]
        assert {answer["label"] for line in lines for answer in line["passage"]["questions"][0]["answers"]} <= {0, 1}
        return
    assert [line["idx"] for line in lines] == [7 * i if task == "record" else i for i in range(ROWS)]
    assert {line["label"] for line in lines} <= kinds[task]


ASKED: dict[str, dict[str, Any]] = {
    "boolq": {"question": "is it fine", "passage": "it is fine"},
    "cb": {"premise": "it is bad", "hypothesis": "it is fine"},
    "copa": {"context": "it was .", "options": ["it was bad .", "it was fine ."]},
    "wic": {"sentence1": "it was fine .", "sentence2": "a fine", "index1": 2, "index2": 1},
    "wsc": {
        "text": "the beast saw it .", "span1_index": 0, "span1_text": "the beast", "span2_index": 3,
        "span2_text": "it",
    },
    "multirc": {"context": "it was fine . what was it ?", "options": ["bad", "fine"]},
    "record": {"passage": "a plant saw a tool .", "query": "it was a @placeholder .", "options": ["plant", "tool"]},
}  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_rows_of_a_file_are_predicted(task: str, make: Any, tmp_path: Path) -> None:
    own = data(task, write_hub(tmp_path / "data", task))
    pairs = PAIRS.get(task, "cross_encoder")
    model = adaptation_of(make(), FullFineTuning(), own.task, pooling="mean", pairs=pairs).model
    bind(model, own)
    model.save("delta")
    Path("rows.jsonl").write_text(json.dumps(ASKED[task]) + "\n")
    assert main(["adapt", "predict", "--delta", "delta", "--text", "rows.jsonl", "--out", "found.jsonl"]) == 0
    (found,) = (json.loads(line) for line in Path("found.jsonl").read_text().splitlines())
    given = [value for value in ASKED[task].values() if isinstance(value, list)]
    example = [value if isinstance(value, list) else str(value) for value in ASKED[task].values()]
    if task == "wsc":
        example = [str(ASKED[task][name]) for name in own.given_columns]
    (expected,) = model.eval().predict([example])
    assert found["prediction"] == expected["prediction"]
    assert {name: found[name] for name in ASKED[task]} == ASKED[task]
    assert not given or set(
        [found["prediction"]] if isinstance(found["prediction"], str) else found["prediction"]
    ) <= set(given[0])


@pytest.mark.parametrize("task", TASKS)
def test_it_runs_in_a_suite_and_is_reported(task: str, folders: dict[str, Path], tmp_path: Path) -> None:
    form, own = FORMS[task]
    source = write_hub(tmp_path / "data", task)
    settings = {"class_path": form.__name__, **own, "source": source, "max_length": 64, "batch_size": 8, "holdout": 8}
    tasks = {task: {"data": settings, "model": {"pooling": "mean", "pairs": PAIRS.get(task, "cross_encoder")}}}
    strategies = {name: {"class_path": name} for name in ("LinearProbe", "FullFineTuning")}
    suite = load_suite(write_suite(tmp_path / "suite.yaml", folders["bert"], tasks=tasks, strategies=strategies))
    run_suite(suite, tmp_path / "results", InProcess(), Progress(), lambda _: None)
    records = read_records(tmp_path / "results")
    assert {record["status"] for record in records} == {"done"}, records[0]
    assert all(set(record["scores"]["validation"]) == SCORES[task] for record in records)
    assert 0 <= read_baselines(tmp_path / "results")[task]["score"] <= 1
    assert task in write_report(tmp_path / "results", draws=50).read_text()


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        ("wsc", {"span1_index": 9}, "row 0, span1: expected 2 words from a place from 0 to 8, found 'the tool' at 9"),
        ("wsc", {"span2_text": None}, "row 0, span2"),
        ("multirc", {"idx": 3}, "answer 0: expected passage, question, answer and idx of paragraph"),
        ("multirc", {"answer": ""}, "question 0: expected a passage, a question and options"),
        ("record", {"query": "no gap"}, "query 0: the query has no gap, @placeholder"),
        ("record", {"entities": []}, "question 0: expected a passage, a question and options"),
    ],
)
def test_bad_rows_are_told_in_one_line(task: str, change: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder = tmp_path / task
    folder.mkdir()
    lines = [json.dumps(row | change) for row in rows(task, "train")[:1]]
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(UsageError, match=message):
        data(task, str(tmp_path)).rows("train")


@pytest.mark.parametrize("task", ["multirc", "record", "wsc"])
def test_columns_that_are_missing_are_named(task: str, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"text": "a", "label": 1}\n')
    with pytest.raises(UsageError, match=r"has no column '.*'; it has text, label"):
        data(task, str(tmp_path)).rows("train")
    with pytest.raises(UsageError, match="source=microworld"):
        data(task, "microworld")


def test_wic_on_real_data_in_superglues_own_form(real_data: str, tmp_path: Path) -> None:
    """The real set has places of words; SuperGLUE's file, made of it, has those of characters, and booleans."""
    import pyarrow.parquet as pq

    given = pq.read_table(Path(real_data) / "wic" / "validation.parquet").to_pylist()
    lines = []
    for row in given:
        starts = {}
        for number in (1, 2):
            words, place = row[f"sentence{number}"].split(" "), row[f"index{number}"]
            starts[f"start{number}"] = len(" ".join([*words[:place], ""]))
        kept = {name: row[name] for name in ("word", "sentence1", "sentence2")}
        lines.append(json.dumps(kept | starts | {"label": bool(row["label"])}))
    (tmp_path / "WiC").mkdir()
    (tmp_path / "WiC" / "val.jsonl").write_text("\n".join(lines) + "\n")
    real, made = (WiC(source=source).rows("validation") for source in (real_data, str(tmp_path)))
    assert real.texts == made.texts
    assert np.array_equal(real.labels, made.labels)
    assert real.beside == made.beside


def test_the_loss_of_a_cloze_is_that_of_the_right_names_together() -> None:
    form = ReCoRD.form
    outputs = torch.tensor([[1.0], [2.0], [0.5], [0.0], [3.0]])
    batch = {"counts": torch.tensor([3, 2]), "right": torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0])}
    shares = torch.tensor([1.0, 2.0, 0.5]).softmax(0)
    assert torch.allclose(form.loss(outputs, batch), -(shares[0] + shares[2]).log())
    assert form.targets(batch) == 1
    nothing = batch | {"right": torch.zeros(5)}
    assert form.loss(outputs, nothing) == 0

"""SuperGLUE as T5 casts it: what is read and written, what is judged, trained in one go and in a suite."""

from pathlib import Path
from typing import Any

import pytest
import torch
from made_superglue import ROWS, write_hub, write_own
from suites import write_suite

from lm_lab.benchmark.executors import InProcess
from lm_lab.benchmark.progress import Progress
from lm_lab.benchmark.runner import run_suite
from lm_lab.benchmark.suite import load_suite
from lm_lab.data import TextToTextGLUE, TextToTextSuperGLUE
from lm_lab.errors import UsageError
from lm_lab.results.records import read_records
from lm_lab.tasks.written import same_noun

CASTS = {
    "copa": ("copa choice1: it was bad . choice2: it was fine . premise: it was . question: cause", "choice2"),
    "wic": ("wic sentence1: it was fine . sentence2: a fine is bad . word: fine", "True"),
    "wsc": ("wsc: the beast saw the tool and *it* was fine .", "the beast"),
    "record": (
        "record query: it was a @placeholder . entities: tool, plant, beast passage: the tool was fine . the plant saw "
        "the beast. it was fine .",
        "beast",
    ),
}


@pytest.mark.parametrize("write", [write_hub, write_own])
@pytest.mark.parametrize("task", CASTS)
def test_rows_are_cast(task: str, write: Any, tmp_path: Path) -> None:
    data = TextToTextSuperGLUE(task, source=write(tmp_path, task))
    rows = data.rows("validation")
    assert (rows.sources[1], rows.targets[1]) == CASTS[task]
    assert len(rows) == len(data.rows("test")) == ROWS
    assert not data.rows("test").labelled.any()
    assert len(data.rows("train")) == (ROWS // 2 if task == "wsc" else ROWS)  # of a pronoun the right nouns alone


@pytest.mark.parametrize(("task", "expected"), [("boolq", "False"), ("cb", "entailment")])
def test_boolq_and_cb_are_rows_of_glue(task: str, expected: str, tmp_path: Path) -> None:
    rows = TextToTextGLUE(task, source=write_own(tmp_path, task)).rows("validation")
    assert rows.sources[0].startswith(f"{task} ")
    assert rows.targets[0] == expected


@pytest.mark.parametrize(
    ("said", "candidate", "same"),
    [
        ("the stable", "The stable", True),
        ("stable", "the large stable", True),
        ("the very large stable", "the stable", True),
        ("window", "the stable", False),
        ("", "the stable", False),
        ("the", "the stable", False),
    ],
)
def test_a_noun_is_the_candidate_where_one_has_all_words_of_the_other(said: str, candidate: str, same: bool) -> None:
    assert same_noun(said, candidate) == same


def test_written_answers_are_judged_as_the_task_is(tmp_path: Path) -> None:
    noun = TextToTextSuperGLUE("wsc", source=write_hub(tmp_path, "wsc"))
    batch = {"golds": [["the beast"], ["the tool"]], "labels": torch.tensor([1.0, 0.0]), "ids": torch.arange(2)}
    values, labels = noun.task.judge(["beast", "beast"], batch)
    assert noun.task.scores(values, labels) == {"accuracy": 1.0}
    record = TextToTextSuperGLUE("record", source=write_hub(tmp_path, "record"))
    batch = {"golds": [["Barack Obama", "Obama"], ["US"]], "ids": torch.arange(2)}
    judged = record.task.judge(["obama", "Norway"], batch)
    assert record.task.scores(*judged) == {"answer_f1": 0.5, "exact_match": 0.5}


@pytest.mark.parametrize("task", [*CASTS, "boolq", "cb"])
def test_it_runs_in_a_suite(task: str, folders: dict[str, Path], tmp_path: Path) -> None:
    kind = "TextToTextSuperGLUE" if task in CASTS else "TextToTextGLUE"
    settings = {"class_path": kind, "task": task, "source": write_hub(tmp_path / "data", task), "holdout": 4}
    tasks = {task: {"data": settings | {"max_length": 64}}}
    strategies = {"lora": {"class_path": "LoRA"}}
    suite = load_suite(write_suite(tmp_path / "suite.yaml", folders["bart"], tasks=tasks, strategies=strategies))
    run_suite(suite, tmp_path / "results", InProcess(), Progress(), lambda _: None)
    records = read_records(tmp_path / "results")
    assert {record["status"] for record in records} == {"done"}, records[0]
    assert 0 <= records[0]["score"]["validation"] <= 1


def test_another_task_is_refused() -> None:
    with pytest.raises(UsageError, match="task=multirc: expected copa, wic, wsc, record; boolq and cb"):
        TextToTextSuperGLUE("multirc")

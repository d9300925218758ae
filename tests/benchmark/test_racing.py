"""Tuned values that are clearly behind in a race are given up; whatever goes on is what it would be without a race."""

import random

import numpy as np
import pytest
from suites import write_suite

from lm_lab.benchmark import packed_cells, runner
from lm_lab.benchmark.executors import InProcess
from lm_lab.benchmark.plan import Planner, make_plan
from lm_lab.benchmark.preflight import check_settings
from lm_lab.benchmark.progress import Progress, describe
from lm_lab.benchmark.racing import go_on, paired_p_value
from lm_lab.benchmark.suite import load_suite
from lm_lab.errors import UsageError
from lm_lab.report.page import write_report
from lm_lab.report.table import all_points, terminal_table
from lm_lab.results.predictions import Predictions, read_predictions
from lm_lab.results.records import read_records, read_suite, write_record
from lm_lab.results.selection import choose, considered

RATES = [1e-3, 1e-2, 1e30]  # the last one diverges at its first step
STRATEGIES = {"lora": {"class_path": "LoRA", "init_args": {"rank": 2}, "tune": {"learning_rate": RATES}}}
DEFAULTS = {
    "model": {"pooling": "mean"},
    "data": {"train_limit": 64, "validation_limit": 40, "holdout": 32, "batch_size": 8},
    "trainer": {"max_epochs": 2, "accelerator": "cpu", "precision": "32-true"},
}


def run(folders, folder, **options):
    changes = {"strategies": STRATEGIES, "defaults": DEFAULTS, "seeds": [0, 1]} | options.pop("suite", {})
    path = write_suite(folder / "suite.yaml", folders["bert"], **changes)
    plan = runner.run_suite(load_suite(path), folder / "out", InProcess(), Progress(), lambda _: None, **options)
    return plan, {record["id"]: record for record in read_records(folder / "out")}


@pytest.fixture
def raced(folders, tmp_path, monkeypatch):
    """A race that all but the leader lose by decree, since the tiny model learns nothing; 1e30 diverges."""
    monkeypatch.setattr(runner, "paired_p_value", lambda _: lambda *_: 0.0)
    return run(folders, tmp_path, suite={"race": 0.25})


def test_those_that_go_on_are_what_they_are_without_a_race(raced, folders, tmp_path):
    (tmp_path / "whole").mkdir()
    _, whole = run(folders, tmp_path / "whole")
    _, records = raced
    went_on = [record for record in records.values() if "race" not in record["cell"]]
    assert went_on
    assert len(went_on) < len(whole)
    for record in went_on:
        assert record["scores"] == whole[record["id"]]["scores"]
        assert record["history"] == whole[record["id"]]["history"]


def test_a_race_trains_a_share_of_the_steps_with_the_schedule_of_the_whole(raced):
    _, records = raced
    (leader,) = {r["cell"]["tuned"]["learning_rate"] for r in records.values() if "race" not in r["cell"]}
    runs = [r for r in records.values() if r["cell"]["tuned"]["learning_rate"] == leader and r["cell"]["seed"] == 0]
    short, whole = sorted(runs, key=lambda r: r["clocks"]["steps"])
    assert (short["clocks"]["steps"], whole["clocks"]["steps"]) == (4, 16)
    assert short["history"] == whole["history"][: len(short["history"])]
    assert short["history"]
    assert short["score"].keys() == {"selection"}
    assert "race of 25%" in describe(short)


def test_what_diverged_is_never_trained_to_the_end(raced):
    plan, records = raced
    diverged = [record for record in records.values() if record["cell"]["tuned"]["learning_rate"] == 1e30]
    assert [(r["status"], r["cell"].get("race")) for r in diverged] == [("diverged", 0.25)]
    assert plan.total == len(records) == 3 + 2


def test_the_report_names_what_was_given_up_and_when(raced, tmp_path):
    root = tmp_path / "out"
    (point,) = all_points(read_records(root), read_suite(root))
    assert len(point.candidates) == 3
    assert len(point.scores) == 2
    assert any("after 25% of training" in note for note in point.notes)
    assert any("on the edge" in note for note in point.notes) == (point.tuned["learning_rate"] in (1e-3, 1e30))
    assert "5 cells" in terminal_table(root)
    write_report(root)
    page = (root / "report/index.html").read_text()
    assert "after 25%" in page
    assert "25% of its steps" in page
    cells = (root / "report/cells.csv").read_text().splitlines()
    assert sum(",0.25," in line for line in cells) == 3


def test_the_plan_of_a_finished_race_is_kept(raced, folders, tmp_path):
    plan, records = raced
    again, same = run(folders, tmp_path, suite={"race": 0.25})
    assert again == plan
    assert same == records
    assert read_suite(tmp_path / "out")["planned_cells"] == plan.total


def test_a_packed_race_is_the_race(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(packed_cells, "GAIN", 0.0)
    monkeypatch.setattr(packed_cells, "SMALL", 10**6)
    (tmp_path / "alone").mkdir()
    _, alone = run(folders, tmp_path / "alone", suite={"race": 0.5})
    _, packed = run(folders, tmp_path, suite={"race": 0.5}, pack=3)
    short = {key for key, record in packed.items() if "race" in record["cell"] and record["status"] == "done"}
    assert len(short) == 2
    for key in short:
        assert packed[key]["packed_with"]
        assert packed[key]["clocks"]["steps"] == alone[key]["clocks"]["steps"] == 8
        assert packed[key]["scores"] == alone[key]["scores"]


@pytest.mark.parametrize("order", range(4))
def test_a_plan_that_goes_on_is_the_plan_from_scratch(folders, tmp_path, order):
    strategies = {
        "lora": {"class_path": "LoRA", "knob": "rank", "sizes": [2, 4], "tune": {"learning_rate": [1e-3, 1e-2, 1e-1]}},
        "adapter": {
            "class_path": "HoulsbyAdapter", "knob": "size", "sizes": [2, 4], "select_at": 4,
            "tune": {"learning_rate": [1e-3, 1e-2]},
        },
        "probe": {"class_path": "LinearProbe", "tune": {"learning_rate": [1e-3, 1e-2]}},
        "full": {"class_path": "FullFineTuning", "tune": {"learning_rate": [1e-3]}},
    }  # fmt: skip
    path = write_suite(
        tmp_path / "suite.yaml", folders["bert"], strategies=strategies, defaults=DEFAULTS, race=0.25,
        seeds=[0, 1, 2], selection_seeds=2,
    )  # fmt: skip
    suite, draw, records = load_suite(path), random.Random(order), {}

    def prints(_):
        return {"data": "d", "weights": "w"}

    def p_value(leader, other):
        return random.Random(f"{leader[0]['id']} {other[0]['id']}").random() / 5

    planner = Planner(suite, prints, p_value)
    while waiting := [c for c in planner(records).cells if c.id not in records]:
        planned = draw.choice(waiting)
        status = draw.choice(["done", "done", "done", "failed"])
        score = {"score": {"selection": draw.random()}} if status == "done" else {}
        records[planned.id] = {"id": planned.id, "cell": planned.cell, "status": status, **score}
        now, scratch = planner(records), Planner(suite, prints, p_value)(records)
        assert now == scratch
        assert now.total >= len(now.cells)
    assert not any("race" in r["cell"] for r in records.values() if r["cell"]["coordinates"]["strategy"] == "probe")
    raced = {
        (r["cell"]["coordinates"]["strategy"], r["cell"]["coordinates"].get("size"))
        for r in records.values()
        if "race" in r["cell"]
    }
    assert raced == {("lora", None), ("adapter", 4)}


def made(root, rate, seed, right, status="done"):
    """A record of a race whose first `right` of 200 held-out answers are right, and 50 validation answers beside."""
    split = np.array(["selection"] * 200 + ["validation"] * 50)
    answers = np.concatenate([np.arange(200) < right, np.arange(50) < 25]).astype(float)
    cell = {"coordinates": {"task": "sst2", "backbone": "b", "strategy": "lora"}, "knob": None, "control": False}
    record = {
        "id": f"{rate}-{seed}", "status": status, "cell": cell | {"tuned": {"lr": rate}, "seed": seed, "race": 0.25},
    }  # fmt: skip
    if status == "done":
        accuracy = right / 200
        record |= {"scores": {"selection": {"accuracy": accuracy}}, "score": {"selection": accuracy}}
        write_record(root, record, Predictions(split, np.arange(250), answers, np.ones(250)))
    return record


def rates(found, root):
    return [tuned["lr"] for tuned in go_on(found, paired_p_value(root))]


def test_only_what_is_significantly_behind_is_given_up(tmp_path):
    found = [made(tmp_path, rate, 0, right) for rate, right in ((1, 100), (2, 160), (3, 158), (4, 157))]
    assert rates(found, tmp_path) == [2, 3, 4]
    # ten answers of 200 fewer, and none that the leader has not: a pair tells what two intervals would not
    assert rates([*found[:3], made(tmp_path, 4, 0, 150)], tmp_path) == [2, 3]


def test_what_is_asked_of_two_values_is_asked_of_many_with_holm(tmp_path):
    pair = [made(tmp_path, 1, 0, 160), made(tmp_path, 2, 0, 155)]
    assert rates(pair, tmp_path) == [1]
    assert 2 in rates([*pair, *(made(tmp_path, 3 + i, 0, 155) for i in range(4))], tmp_path)


def test_failed_runs_are_given_up_and_unreadable_ones_are_not(tmp_path):
    found = [made(tmp_path, 1, 0, 100), made(tmp_path, 2, 0, 160), made(tmp_path, 3, 0, 0, "diverged")]
    assert rates(found, tmp_path) == [2]
    (tmp_path / "predictions" / "1-0.parquet").unlink()
    assert rates(found, tmp_path) == [1, 2]
    assert rates([made(tmp_path, 1, 0, 0, "failed"), made(tmp_path, 2, 0, 0, "failed")], tmp_path) == []


def test_values_that_failed_with_one_seed_race_with_the_others(tmp_path):
    found = [made(tmp_path, rate, 0, 0, "failed") for rate in (1, 2, 3)]
    found += [made(tmp_path, rate, 1, right) for rate, right in ((1, 100), (2, 160), (3, 158))]
    assert rates(found, tmp_path) == [2, 3]


def test_seeds_that_disagree_keep_a_value_in_the_race(tmp_path):
    steady = [made(tmp_path, 1, seed, right) for seed, right in enumerate((150, 152, 151))]
    wild = [made(tmp_path, 2, seed, right) for seed, right in enumerate((180, 60, 150))]
    assert rates([*steady, *wild], tmp_path) == [1, 2]


def test_a_value_given_up_is_considered_and_never_chosen(tmp_path):
    found = [made(tmp_path, rate, 0, right) for rate, right in ((1, 190), (2, 160))]
    whole = made(tmp_path, 2, 0, 150)
    del whole["cell"]["race"]
    options = considered([*found, whole])
    assert [(option.tuned["lr"], option.race) for option in options] == [(1, 0.25), (2, None)]
    assert choose(options).tuned == {"lr": 2}


@pytest.mark.parametrize("race", [0, 1, 1.5, "half", True, None])
def test_a_race_is_a_share(folders, tmp_path, race):
    path = write_suite(tmp_path / "suite.yaml", folders["bert"], race=race)
    with pytest.raises(UsageError, match="race"):
        load_suite(path)


@pytest.mark.parametrize("more", [{}, {"race": 0.25}])
def test_tuned_values_without_held_out_examples_are_refused_before_the_first_cell(folders, tmp_path, more):
    defaults = DEFAULTS | {"data": DEFAULTS["data"] | {"holdout": 0}}
    path = write_suite(tmp_path / "suite.yaml", folders["bert"], strategies=STRATEGIES, defaults=defaults, **more)
    with pytest.raises(UsageError, match=r"data\.holdout"):
        check_settings(load_suite(path))


def test_predictions_of_a_race_are_of_the_held_out_part_alone(raced, tmp_path):
    _, records = raced
    for record in (r for r in records.values() if "race" in r["cell"] and r["status"] == "done"):
        assert set(read_predictions(tmp_path / "out", record["id"]).split) == {"selection"}


def test_without_a_race_the_plan_is_what_it_was(folders, tmp_path):
    path = write_suite(tmp_path / "suite.yaml", folders["bert"], strategies=STRATEGIES, defaults=DEFAULTS)
    assert len(make_plan(load_suite(path), {}, lambda _: {"data": "d", "weights": "w"}).cells) == 3

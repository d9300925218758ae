"""A suite run to its end: interrupted, killed, failing; its probes against the uncached path."""

import contextlib
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from suites import STRATEGIES, run_alone, write_suite

from lm_lab.benchmark import execute
from lm_lab.benchmark.executors import Executor, InProcess, LocalProcesses
from lm_lab.benchmark.fingerprints import cache_fingerprints
from lm_lab.benchmark.jobs import Job, Needs, Result
from lm_lab.benchmark.plan import make_plan
from lm_lab.benchmark.progress import Progress
from lm_lab.benchmark.runner import run_suite
from lm_lab.benchmark.suite import load_suite
from lm_lab.cli import exit_code, main
from lm_lab.errors import UsageError
from lm_lab.results.predictions import read_predictions
from lm_lab.results.records import read_baselines, read_records


@pytest.fixture
def suite_path(tmp_path, folders):
    return write_suite(tmp_path / "suite.yaml", folders["bert"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory, folders):
    """The results of the suite at `suite_path`, run once; tests read or copy it."""
    root = tmp_path_factory.mktemp("whole")
    run(write_suite(root / "suite.yaml", folders["bert"]), root / "out")
    return root / "out"


@pytest.fixture
def out(whole, tmp_path):
    """A copy that a test may change."""
    return Path(shutil.copytree(whole, tmp_path / "out"))


def run(path, root, executor=None, track=lambda record: None, **options):
    suite = load_suite(path)
    executor = executor or InProcess()
    return run_suite(suite, root, executor, Progress(), track, **options)


def outcome(root):
    """What must not depend on interruptions: scores and every prediction."""
    return {
        record["id"]: (record["score"], read_predictions(root, record["id"]).prediction.tolist())
        for record in read_records(root)
    }


def test_an_interrupted_run_goes_on_without_repeating_a_cell(suite_path, whole, tmp_path):
    seen = []

    def stop_at_five(record):
        seen.append(record["id"])
        if len(seen) in (2, 5):
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(suite_path, tmp_path / "parts", track=stop_at_five)
    run(suite_path, tmp_path / "parts", track=stop_at_five)
    assert len(seen) == len(set(seen)) == 13
    assert outcome(tmp_path / "parts") == outcome(whole)
    run(suite_path, tmp_path / "parts", track=lambda record: pytest.fail("a finished suite ran a cell"))


def test_sigterm_ends_a_run_with_143(suite_path, tmp_path, capsys):
    def terminate(_):
        os.kill(os.getpid(), signal.SIGTERM)

    assert exit_code(lambda: run(suite_path, tmp_path / "out", track=terminate)) == 143
    assert "the same command goes on" in capsys.readouterr().err
    assert len(read_records(tmp_path / "out")) == 1


def test_records_hold_what_an_honest_point_needs(whole):
    record = next(r for r in read_records(whole) if r["cell"]["coordinates"]["strategy"] == "lora")
    assert record["status"] == "done"
    assert set(record["score"]) == {"validation", "selection"}
    assert record["ledger"]["trained"] == record["ledger"]["added"] + record["ledger"]["head"]
    assert record["clocks"]["steps"] == 4
    assert record["clocks"]["examples"] == 64
    assert record["memory"]["train_peak_bytes"] > 0
    assert record["versions"]["torch"]
    assert record["hardware"]["cores"] > 0
    assert record["fingerprints"]["weights"]
    predictions = read_predictions(whole, record["id"])
    assert sorted(set(predictions.split)) == ["selection", "validation"]
    right = (predictions.prediction == predictions.label)[predictions.split == "validation"]
    assert right.mean() == pytest.approx(record["score"]["validation"])


def test_a_run_keeps_what_baselines_score(suite_path, out, tmp_path, monkeypatch):
    found = read_baselines(tmp_path / "out")
    record = read_records(tmp_path / "out")[0]
    assert set(found) == {record["cell"]["coordinates"]["task"] for record in read_records(tmp_path / "out")}
    known = found[record["cell"]["coordinates"]["task"]]
    assert known["data"] == record["fingerprints"]["data"]
    values = read_predictions(tmp_path / "out", record["id"])
    labels = values.label[values.split == "validation"]
    assert any(known["score"] == pytest.approx((labels == answer).mean()) for answer in (0, 1))
    monkeypatch.setattr("lm_lab.benchmark.baselines.baseline", lambda *_: pytest.fail("computed twice"))
    run(suite_path, tmp_path / "out")
    assert read_baselines(tmp_path / "out") == found


def test_a_failing_cell_is_recorded_and_the_rest_go_on(folders, tmp_path):
    strategies = STRATEGIES | {"full": {"class_path": "PartialFineTuning", "init_args": {"blocks": 9}}}
    path = write_suite(tmp_path / "suite.yaml", folders["bert"], strategies=strategies)
    run(path, tmp_path / "out")
    failed = [r for r in read_records(tmp_path / "out") if r["status"] == "failed"]
    assert len(failed) == 2
    assert all("blocks=9: this backbone has 2 blocks" in r["reason"] for r in failed)
    ran = []
    run(path, tmp_path / "out", track=ran.append)
    assert ran == []
    run(path, tmp_path / "out", track=ran.append, retry_failed=True)
    assert {r["id"] for r in ran} == {r["id"] for r in failed}


def test_a_diverging_cell_is_recorded_as_such(folders, tmp_path):
    full = {"class_path": "FullFineTuning", "model": {"learning_rate": 1e30}}
    run(write_suite(tmp_path / "s.yaml", folders["bert"], strategies={"full": full}), tmp_path / "out")
    records = read_records(tmp_path / "out")
    assert {r["status"] for r in records} == {"diverged"}
    assert all("the loss is" in r["reason"] for r in records)


def test_cells_of_an_edited_suite_are_put_aside(suite_path, out, folders, tmp_path):
    full = {"full": STRATEGIES["full"]}
    run(write_suite(suite_path, folders["bert"], strategies=full), tmp_path / "out")
    assert len(read_records(tmp_path / "out")) == 2
    assert len(list((tmp_path / "out" / "superseded" / "cells").iterdir())) == 11


def test_cells_that_were_put_aside_come_back_when_the_plan_reaches_them(suite_path, out, folders, tmp_path):
    before = read_records(tmp_path / "out")
    run(write_suite(suite_path, folders["bert"], strategies={"full": STRATEGIES["full"]}), tmp_path / "out")
    assert len(read_records(tmp_path / "out")) == 2
    ran = []
    run(write_suite(suite_path, folders["bert"]), tmp_path / "out", track=ran.append)
    assert ran == []
    assert read_records(tmp_path / "out") == before
    assert all(len(read_predictions(tmp_path / "out", record["id"]).id) for record in before)


def test_a_folder_of_another_suite_is_refused(suite_path, out, folders, tmp_path):
    with pytest.raises(UsageError, match="holds results of the suite 'small', not of 'other'"):
        run(write_suite(suite_path, folders["bert"], name="other"), tmp_path / "out")


def test_two_runs_cannot_share_a_folder(suite_path, tmp_path):
    def again(record):
        with pytest.raises(UsageError, match="another run is writing"):
            run(suite_path, tmp_path / "out")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(suite_path, tmp_path / "out", track=again)


@pytest.mark.parametrize("task", ["sst2", "rte"])
def test_stored_features_give_what_the_uncached_probe_gives(folders, tmp_path, task):
    """Same scores and, for the graded task's real-valued outputs, the same numbers."""
    strategies = {
        "linear": STRATEGIES["probe"] | {"tune": {"learning_rate": [1e-2]}},
        "mlp": {"class_path": "MLPProbe", "init_args": {"hidden": 8}, "model": {"learning_rate": 1e-2}},
    }
    tasks = {"graded": {"data": {"task": "stsb", "source": "microworld"}, "model": {"pairs": "bi_encoder"}}}
    if task == "sst2":
        tasks = {"classes": {"data": {"task": "sst2", "source": "microworld"}}}
    path = write_suite(tmp_path / "s.yaml", folders["bert"], strategies=strategies, tasks=tasks)
    plan = make_plan(load_suite(path), {}, cache_fingerprints())
    assert len(plan.cells) == 6
    for planned in plan.cells:
        stored = run_alone(planned, tmp_path / "stored")
        direct = run_alone(planned, tmp_path / "direct", stored=False)
        assert stored["status"] == direct["status"] == "done"
        assert stored["clocks"]["feature_seconds"] > 0 == direct["clocks"]["feature_seconds"]
        a, b = (read_predictions(tmp_path / folder, planned.id).prediction for folder in ("stored", "direct"))
        assert np.allclose(a, b, atol=1e-4)
    # two layers and three splits, whatever the number of rates, heads and seeds
    assert len(list((tmp_path / "stored" / "features").glob("*.safetensors"))) == 6


class Bomb:
    """Kills the process that unpickles it, as the kernel does with one that takes too much memory."""

    def __reduce__(self):
        return os._exit, (9,)


def test_a_killed_worker_fails_its_cell_alone(folders, tmp_path):
    path = write_suite(tmp_path / "s.yaml", folders["bert"], strategies={"full": STRATEGIES["full"]})
    healthy = make_plan(load_suite(path), {}, cache_fingerprints()).cells[0]
    deadly = replace(healthy, id="deadly", config={"bomb": Bomb()})
    executor = LocalProcesses(workers=1)
    executor.submit(Job((deadly,), "small", "test"))
    ((record, predictions),) = executor.wait()
    assert (record["id"], record["status"], predictions) == ("deadly", "failed", None)
    assert "died twice" in record["reason"]
    executor.submit(Job((healthy,), "small", "test"))
    ((record, predictions),) = executor.wait()
    assert (record["id"], record["status"]) == (healthy.id, "done")
    assert len(predictions.id) > 0
    executor.stop()


def test_a_stopped_worker_is_ended_when_its_time_is_up(folders, tmp_path):
    """Its cells fail by time; the worker beside it does not notice."""
    path = write_suite(tmp_path / "s.yaml", folders["bert"], strategies={"full": STRATEGIES["full"]})
    first, second = make_plan(load_suite(path), {}, cache_fingerprints()).cells
    executor = LocalProcesses(workers=1)
    executor.submit(Job((first, second), "small", "test", Needs(seconds=3.0)))
    executor._assign()
    os.kill(executor._workers[0].process.pid, signal.SIGSTOP)
    found = [record for record, _ in executor.wait()]
    assert [record["id"] for record in found] == [first.id, second.id]
    told = "it ran longer than the limit of 3 s a cell (--cell-timeout), and was ended"
    assert {record["reason"] for record in found} == {told}
    executor.submit(Job((second,), "small", "test"))
    assert [(record["id"], record["status"]) for record, _ in executor.wait()] == [(second.id, "done")]
    executor.stop()


class Elsewhere(Executor):
    """Shares no disk with the runner: jobs and results travel as bytes, and it works in a folder of its own."""

    capacity = 2

    def __init__(self, folder: str) -> None:
        self.folder, self._sent = Path(folder), []

    def submit(self, job: Job) -> None:
        self._sent.append(pickle.dumps(job))

    def wait(self) -> list[Result]:
        job = pickle.loads(self._sent.pop(0))
        with contextlib.chdir(self.folder):
            return pickle.loads(pickle.dumps(execute.run(replace(job, features=None))))

    def stop(self) -> None:
        self._sent.clear()


def test_an_executor_named_by_its_class_path_needs_no_shared_disk(suite_path, whole, tmp_path, monkeypatch, capsys):
    (tmp_path / "far").mkdir()
    executor = tmp_path / "far.yaml"
    kind = f"{__name__}.Elsewhere"
    executor.write_text(yaml.safe_dump({"class_path": kind, "init_args": {"folder": str(tmp_path / "far")}}))
    command = ["bench", "run", str(suite_path), "--wandb", "disabled", "--executor", str(executor)]
    assert exit_code(lambda: main([*command, "--out", "out"])) == 2
    assert "allow-import" in capsys.readouterr().err
    assert exit_code(lambda: main([*command, "--out", "out", "--allow-import", __name__])) == 0
    assert outcome(tmp_path / "out") == outcome(whole)
    assert not list((tmp_path / "far").iterdir())


def test_a_wrong_argument_within_a_cell_is_recorded(folders, tmp_path):
    path = write_suite(tmp_path / "s.yaml", folders["bert"], strategies={"full": STRATEGIES["full"]})
    planned = make_plan(load_suite(path), {}, cache_fingerprints()).cells[0]
    wrong = replace(planned, config=planned.config | {"trainer": {"max_epoch": 1}})
    record = run_alone(wrong, tmp_path / "out")
    assert record["status"] == "failed"
    assert "max_epoch" in record["reason"]


@pytest.mark.slow
def test_killed_at_five_random_moments_then_the_same_command(suite_path, tmp_path):
    run(suite_path, tmp_path / "whole")
    command = [sys.executable, "-m", "lm_lab", "bench", "run", str(suite_path), "--out", str(tmp_path / "killed")]
    environment = os.environ | {"WANDB_MODE": "disabled"}
    started: dict[str, str] = {}
    moments = random.Random(0)
    for _ in range(5):
        process = subprocess.Popen([*command, "--workers", "2"], env=environment, stdout=subprocess.DEVNULL)
        time.sleep(12 + 6 * moments.random())  # imports take most of that
        process.send_signal(signal.SIGKILL)
        process.wait()
        for record in read_records(tmp_path / "killed"):
            assert started.setdefault(record["id"], record["started"]) == record["started"]
    subprocess.run([*command, "--workers", "2"], env=environment, check=True, stdout=subprocess.DEVNULL)
    final = {record["id"]: record["started"] for record in read_records(tmp_path / "killed")}
    assert started.items() <= final.items()
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")

"""A suite whose cells train in packs: records are those of single runs, whoever a run was packed with."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from suites import write_suite

from lm_lab.benchmark import execute, packed_cells
from lm_lab.benchmark.executors import InProcess
from lm_lab.benchmark.fingerprints import cache_fingerprints
from lm_lab.benchmark.jobs import Job
from lm_lab.benchmark.plan import make_plan
from lm_lab.benchmark.progress import Progress
from lm_lab.benchmark.runner import run_suite
from lm_lab.benchmark.suite import load_suite
from lm_lab.packs import room
from lm_lab.packs.errors import ApartError
from lm_lab.results.predictions import read_predictions
from lm_lab.results.records import read_records
from lm_lab.training.machine import memory

DEFAULTS = {
    "model": {"pooling": "mean"},
    "data": {"train_limit": 60, "validation_limit": 50, "holdout": 32, "batch_size": 16},
    "trainer": {"max_epochs": 2, "accelerator": "cpu", "precision": "32-true", "gradient_clip_val": 0.5},
}
STRATEGIES: dict[str, Any] = {
    "lora": {"class_path": "LoRA", "knob": "rank", "sizes": [2, 4], "tune": {"learning_rate": [1e-3, 1e-2]}},
    "prefix": {"class_path": "PTuningV2", "tune": {"learning_rate": [1e-3, 1e-2]}},
    "bitfit": {"class_path": "BitFit", "tune": {"learning_rate": [1e-3, 1e-2]}},
}


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether packing pays depends on the machine; the tests pack."""
    monkeypatch.setattr(packed_cells, "GAIN", 0.0)
    monkeypatch.setattr(packed_cells, "SMALL", 10**6)


def planned(path):
    return tuple(make_plan(load_suite(path), {}, cache_fingerprints()).cells)


def replace_seed(cell):
    return replace(cell, config=cell.config | {"seed_everything": 7})


def records(path, root, **options):
    run_suite(load_suite(path), root, InProcess(), Progress(), lambda _: None, **options)
    return {record["id"]: record for record in read_records(root)}


def test_a_packed_suite_finds_what_single_runs_find(folders, tmp_path):
    """Bit for bit but for the order of sums: dropout of heads draws from each run's own numbers."""
    path = write_suite(tmp_path / "suite.yaml", folders["bert"], strategies=STRATEGIES, defaults=DEFAULTS)
    alone, packed = records(path, tmp_path / "alone"), records(path, tmp_path / "packed", pack=4)
    assert alone.keys() == packed.keys()
    for name, record in packed.items():
        other = alone[name]
        assert not other.get("packed_with")
        assert "apart" not in record
        assert record["status"] == "done"
        assert record["ledger"] == other["ledger"]
        assert [row["step"] for row in record["history"]] == [row["step"] for row in other["history"]]
        for row, expected in zip(record["history"], other["history"], strict=True):
            assert row["loss"] == pytest.approx(expected["loss"], abs=1e-5)
            assert row["learning_rate"] == pytest.approx(expected["learning_rate"])
        for key in ("steps", "examples"):
            assert record["clocks"][key] == other["clocks"][key]
        a, b = (read_predictions(tmp_path / kind, name) for kind in ("packed", "alone"))
        assert a.id.tolist() == b.id.tolist()
        assert (a.prediction != b.prediction).mean() < 0.03
    sizes = {len(record["packed_with"]) + 1 for record in packed.values() if record.get("packed_with")}
    assert max(sizes) == 4


def test_mates_do_not_matter(folders, tmp_path):
    """Dropout inside the backbone: a run draws from its own numbers, and is the same among others."""
    strategies = {"full": {"class_path": "FullFineTuning", "tune": {"learning_rate": [1e-3, 3e-3, 1e-2]}}}
    path = write_suite(tmp_path / "suite.yaml", folders["bert"], strategies=strategies, defaults=DEFAULTS)
    cells = planned(path)
    # beside a run of its own seed, and beside one whose batches are of other rows and lengths
    first, second, third = cells[0], cells[1], replace_seed(cells[2])
    a, b = (packed_cells.run(Job(chosen, "small", "test")) for chosen in ((first, second), (first, third)))
    assert [row["loss"] for row in a[0][0]["history"]] == pytest.approx(
        [r["loss"] for r in b[0][0]["history"]], abs=1e-5
    )
    assert a[0][0]["history"] != a[1][0]["history"]


def test_what_is_not_due_yet_drops_nothing(folders, tmp_path):
    """Blocks that gradual unfreezing holds back are in eval mode, their attention too, as in a run alone."""
    strategies = {"gradual": {"class_path": "GradualUnfreezing", "tune": {"learning_rate": [1e-3, 3e-3]}}}
    path = write_suite(tmp_path / "suite.yaml", folders["bert"], strategies=strategies, seeds=[0], defaults=DEFAULTS)
    cells = planned(path)
    for (record, _), cell in zip(packed_cells.run(Job(cells, "small", "test")), cells, strict=True):
        ((alone, _),) = execute.run(Job((cell,), "small", "test"))
        losses, expected = ([row["loss"] for row in found["history"]] for found in (record, alone))
        assert losses == pytest.approx(expected, abs=1e-5)


def test_a_run_that_diverges_leaves_the_others(folders, tmp_path):
    strategies = {"lora": {"class_path": "LoRA", "tune": {"learning_rate": [1e-3, 1e30]}}}
    path = write_suite(tmp_path / "suite.yaml", folders["bert"], strategies=strategies, seeds=[0], defaults=DEFAULTS)
    cells = planned(path)
    (good, predictions), (bad, none) = packed_cells.run(Job(cells, "small", "test"))
    ((alone, _),) = execute.run(Job(cells[:1], "small", "test"))
    assert (good["status"], bad["status"], none) == ("done", "diverged", None)
    assert "the loss is nan at step" in bad["reason"]
    assert good["history"][-1]["loss"] == pytest.approx(alone["history"][-1]["loss"], abs=1e-5)
    assert len(predictions.id)


def test_all_runs_may_diverge(folders, tmp_path):
    strategies = {"lora": {"class_path": "LoRA", "tune": {"learning_rate": [1e30, 2e30]}}}
    path = write_suite(tmp_path / "suite.yaml", folders["bert"], strategies=strategies, seeds=[0], defaults=DEFAULTS)
    found = [record for record, _ in execute.run(Job(planned(path), "small", "test"))]
    assert [record["status"] for record in found] == ["diverged", "diverged"]
    assert [len(record["packed_with"]) for record in found] == [1, 1]


def test_what_goes_wrong_in_a_pack_costs_no_cell(folders, tmp_path, monkeypatch):
    """Whatever it is, each trains alone, and the record says what it was."""

    def broken(*_, **__):
        raise KeyError("a mistake of ours")

    monkeypatch.setattr(packed_cells, "require_same", broken)
    strategies = {"lora": STRATEGIES["lora"]}
    path = write_suite(tmp_path / "suite.yaml", folders["bert"], strategies=strategies, defaults=DEFAULTS)
    found = [record for record, _ in execute.run(Job(planned(path)[:2], "small", "test"))]
    assert [record["status"] for record in found] == ["done", "done"]
    assert {record["apart"] for record in found} == {"KeyError: 'a mistake of ours'"}


def test_what_gains_nothing_trains_alone_and_is_not_tried_again(folders, tmp_path, monkeypatch):
    tried = []

    def gain(pack, batches):
        tried.append(len(batches))
        return 0.9

    monkeypatch.setattr(packed_cells, "GAIN", 1.1)
    monkeypatch.setattr(packed_cells, "gain", gain)
    strategies = {"lora": STRATEGIES["lora"]}
    path = write_suite(tmp_path / "suite.yaml", folders["bert"], strategies=strategies, defaults=DEFAULTS)
    found = records(path, tmp_path / "out", pack=2)
    assert tried == [2, 2]  # the second was out before the first came back
    assert sum("0.90 times as fast" in record.get("apart", "") for record in found.values()) == 4
    assert {record["status"] for record in found.values()} == {"done"}
    assert not any(record.get("packed_with") for record in found.values())


def test_a_cpu_packs_small_batches_alone(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(packed_cells, "SMALL", 20)
    strategies = {"lora": STRATEGIES["lora"]}
    path = write_suite(tmp_path / "suite.yaml", folders["bert"], strategies=strategies, defaults=DEFAULTS)
    with pytest.raises(ApartError, match="tokens: on a CPU packs gain below 20"):
        packed_cells.run(Job(planned(path)[:2], "small", "test"))


def test_what_does_not_fit_goes_in_halves(folders, tmp_path, monkeypatch):
    whole = packed_cells.run

    def run(job):
        if len(job.cells) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return whole(job)

    monkeypatch.setattr(packed_cells, "run", run)
    path = write_suite(
        tmp_path / "suite.yaml", folders["bert"], strategies={"lora": STRATEGIES["lora"]}, defaults=DEFAULTS
    )
    found = execute.run(Job(planned(path)[:4], "small", "test"))
    assert [len(record["packed_with"]) for record, _ in found] == [1] * 4


def test_as_many_go_together_as_there_is_memory_for(folders, tmp_path, monkeypatch):
    tried, whole = [], packed_cells.run

    def run(job):
        tried.append(len(job.cells))
        return whole(job)

    monkeypatch.setattr(packed_cells, "run", run)
    monkeypatch.setattr(execute, "_FIT", {})
    monkeypatch.setattr(room, "step_bytes", lambda step, *_: step() or 100)
    monkeypatch.setattr(room.memory, "free_bytes", lambda _: 299 * 3 / room.SHARE)
    monkeypatch.setattr(packed_cells, "GAIN", 0.0)
    path = write_suite(
        tmp_path / "suite.yaml", folders["bert"], strategies={"lora": STRATEGIES["lora"]}, defaults=DEFAULTS
    )
    cells = planned(path)[:4]
    monkeypatch.setattr(packed_cells, "require_room", lambda pack, batches, _: room.require_room(pack, batches, 3.0))
    found = execute.run(Job(cells, "small", "test"))
    assert [len(record.get("packed_with", [])) for record, _ in found] == [1] * 4
    assert tried == [4, 2, 2]  # 2.99 fit
    execute.run(Job(cells, "small", "test"))
    assert tried == [4, 2, 2, 2, 2]  # measured once


def test_memory_of_a_step_is_what_it_takes_at_its_highest():
    device = torch.device("cpu")
    found = room.step_bytes(lambda: torch.ones(64 * 2**20, dtype=torch.uint8).sum(), torch.nn.Linear(1, 1), device)
    assert found > 32 * 2**20
    assert memory.free_bytes(device) > 2**20


def test_one_cell_fails_alone(folders, tmp_path):
    """What a single run would be told, it is told in a pack too."""
    strategies = {"partial": {"class_path": "LoRA", "knob": "rank", "sizes": [2, 4], "tune": {"learning_rate": [1e-3]}}}
    path = write_suite(tmp_path / "suite.yaml", folders["bert"], strategies=strategies, seeds=[0], defaults=DEFAULTS)
    good, bad = planned(path)
    bad.config["model"]["strategy"]["init_args"]["roles"] = []
    (first, _), (second, _) = execute.run(Job((good, bad), "small", "test"))
    assert (first["status"], second["status"]) == ("done", "failed")
    assert "roles=[]" in second["reason"]
    assert "apart" not in first


def test_the_cells_of_the_last_seed_have_a_clock_of_their_own(folders, tmp_path):
    path = write_suite(
        tmp_path / "suite.yaml", folders["bert"], strategies={"lora": STRATEGIES["lora"]}, defaults=DEFAULTS
    )
    found = records(path, tmp_path / "out", pack=4, measure_time=True)
    alone = [record for record in found.values() if not record.get("packed_with")]
    assert {record["cell"]["seed"] for record in alone} == {1}
    assert {record["cell"]["seed"] for record in found.values() if record.get("packed_with")} == {0}


def test_a_converged_probe_is_refused(make):
    """It takes no steps, of which a pack is made."""
    from lm_lab.models import AdaptedModel
    from lm_lab.packs import Pack
    from lm_lab.packs.streams import Stream
    from lm_lab.strategies import LinearProbe
    from lm_lab.tasks import glue_task

    models = [AdaptedModel(make("bert"), LinearProbe(penalty=0.1), glue_task("sst2")) for _ in range(2)]
    with pytest.raises(ApartError, match="fitted to convergence"):
        Pack(models, [Stream(), Stream()])


def test_a_head_that_writes_is_refused(make):
    from lm_lab.models import AdaptedModel
    from lm_lab.packs import Pack
    from lm_lab.packs.streams import Stream
    from lm_lab.strategies import LoRA
    from lm_lab.tasks.sequences import SequenceTask

    models = [AdaptedModel(make("t5"), LoRA(), SequenceTask("sums")) for _ in range(2)]
    with pytest.raises(ApartError, match="writes texts, one run at a time"):
        Pack(models, [Stream(), Stream()])

"""A suite may ask for the compiler: its records say which cells were compiled, and a pack is none."""

import pytest
import torch
from suites import write_suite

from lm_lab.benchmark import execute, packed_cells
from lm_lab.benchmark.fingerprints import cache_fingerprints
from lm_lab.benchmark.jobs import Job
from lm_lab.benchmark.plan import make_plan
from lm_lab.benchmark.suite import load_suite
from lm_lab.training import compiling


@pytest.fixture
def cells(folders, tmp_path, monkeypatch):
    """Two of a suite whose defaults ask for it, through a backend that builds nothing."""
    monkeypatch.setattr(compiling, "OPTIONS", {"backend": "aot_eager"})
    monkeypatch.setattr(packed_cells, "GAIN", 0.0)
    defaults = {
        "model": {"pooling": "mean", "compile": True},
        "data": {"train_limit": 32, "validation_limit": 20, "holdout": 16, "batch_size": 16},
        "trainer": {"max_epochs": 1, "accelerator": "cpu"},
    }
    strategies = {"lora": {"class_path": "LoRA", "tune": {"learning_rate": [1e-3, 1e-2]}}}
    path = write_suite(tmp_path / "suite.yaml", folders["bert"], strategies=strategies, defaults=defaults)
    yield tuple(make_plan(load_suite(path), {}, cache_fingerprints()).cells)[:2]
    torch.compiler.reset()


def test_records_say_so(cells):
    (record, _), *_ = execute.run(Job(cells[:1], "small", "test"))
    assert (record["status"], record["hardware"]["compiled"]) == ("done", True)


def test_a_pack_is_not_compiled(cells):
    found = [record for record, _ in execute.run(Job(cells, "small", "test"))]
    assert [record["hardware"]["compiled"] for record in found] == [False, False]
    assert all(record["packed_with"] for record in found)

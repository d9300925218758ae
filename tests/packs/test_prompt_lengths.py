"""Prompts and prefixes of several lengths in one pack: each run is what it is alone."""

import copy
from typing import Any

import pytest
import torch
from suites import write_suite

from lm_lab import strategies as s
from lm_lab.benchmark import execute, packed_cells
from lm_lab.benchmark.fingerprints import cache_fingerprints
from lm_lab.benchmark.grouping import grouped
from lm_lab.benchmark.jobs import Job
from lm_lab.benchmark.plan import make_plan
from lm_lab.benchmark.suite import load_suite
from lm_lab.doctor.case import Case
from lm_lab.packs import Pack
from lm_lab.packs.errors import ApartError
from lm_lab.packs.streams import Stream

FAMILIES = ("bert", "roberta", "electra", "distilbert", "albert", "modernbert", "gpt2", "llama", "t5", "bart")
PAIRS: dict[str, tuple[Any, Any, Any]] = {
    "prompt": tuple(s.PromptTuning(length=length, init="uniform") for length in (2, 5, 3)),  # type: ignore[dict-item]
    "p-tuning v2": tuple(s.PTuningV2(length=length) for length in (5, 2, 3)),  # type: ignore[dict-item]
    "prefix": tuple(s.PrefixTuning(length=length, hidden=size) for length, size in ((2, 8), (5, 8), (3, 4))),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", PAIRS)
def test_runs_of_several_lengths_are_what_they_are_alone(make, name, family):
    runs = [Case(make(family), strategy).trained for strategy in PAIRS[name]]
    case = Case(make(family), PAIRS[name][0])
    batches = []
    for seed, (rows, length) in enumerate([(3, 5), (3, 4), (2, 6)]):
        text = case.reads(case.tokens(seed)[:rows, :length])
        text["attention_mask"][0, -1:] = 0
        batches.append({"texts": [text], "labels": torch.arange(rows) % 2.0})
    pack = Pack(copy.deepcopy(runs), [Stream() for _ in runs]).eval()
    found = [run.task.loss(scores, batch) for run, scores, batch in zip(runs, pack(batches), batches, strict=True)]
    torch.stack(found).sum().backward()
    pack.require_own()
    for alone, packed, batch, loss in zip(runs, pack.models, batches, found, strict=True):
        alone.zero_grad()
        expected = alone.loss(batch)
        expected.backward()
        assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
        others = dict(packed.named_parameters())
        for parameter, value in alone.named_parameters():
            if value.grad is not None:
                assert torch.allclose(others[parameter].grad, value.grad, atol=1e-5), parameter


LENGTHS: dict[str, Any] = {
    kind: {"class_path": kind, "knob": "length", "sizes": [2, 6], "tune": {"learning_rate": [1e-3, 1e-2]}}
    for kind in ("PromptTuning", "PTuningV2")
}


def cells(path, folder, strategy, max_length=64):
    data = {"train_limit": 60, "validation_limit": 50, "holdout": 32, "batch_size": 16, "max_length": max_length}
    defaults = {"model": {"pooling": "mean"}, "data": data, "trainer": {"max_epochs": 2, "accelerator": "cpu"}}
    path = write_suite(path, folder, strategies={"own": LENGTHS[strategy]}, seeds=[0], defaults=defaults)
    return tuple(make_plan(load_suite(path), {}, cache_fingerprints()).cells)


@pytest.mark.parametrize("strategy", LENGTHS)
def test_a_suite_packs_them(folders, tmp_path, monkeypatch, strategy):
    monkeypatch.setattr(packed_cells, "SMALL", 10**6)
    monkeypatch.setattr(packed_cells, "GAIN", 0.0)
    planned = cells(tmp_path / "suite.yaml", folders["bert"], strategy)
    ((*job,),) = grouped(planned, most=8)
    assert {cell.cell["coordinates"]["length"] for cell in job} == {2, 6}
    for (record, _), cell in zip(packed_cells.run(Job(tuple(job), "small", "test")), job, strict=True):
        ((alone, _),) = execute.run(Job((cell,), "small", "test"))
        assert record["status"] == "done"
        losses, expected = ([row["loss"] for row in each["history"]] for each in (record, alone))
        assert losses == pytest.approx(expected, abs=1e-5)


def test_prompts_that_leave_texts_less_room_go_apart(folders, tmp_path, monkeypatch):
    """GPT-2's 128 positions: with another prompt, other texts are cut."""
    monkeypatch.setattr(packed_cells, "SMALL", 10**6)
    planned = cells(tmp_path / "suite.yaml", folders["gpt2"], "PromptTuning", max_length=128)
    with pytest.raises(ApartError, match="leave texts 126 and 122 tokens"):
        packed_cells.run(Job(planned, "small", "test"))

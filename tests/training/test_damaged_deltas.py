"""Deltas that are truncated, foreign, mis-shaped or not finite: one line, never a traceback, never half loaded."""

import json
from contextlib import suppress

import pytest
import torch
from safetensors.torch import load_file, save_file

from lm_lab import AdaptedModel
from lm_lab.errors import UsageError
from lm_lab.models import delta
from lm_lab.models.loading import load_adaptation
from lm_lab.strategies import LoRA
from lm_lab.tasks import glue_task

KEY = "head.scorer.out.bias"


@pytest.fixture
def folder(make, tmp_path):
    return delta.save(AdaptedModel(make("bert"), LoRA(rank=2), glue_task("sst2")), tmp_path / "delta")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.zeros(3), r"head.scorer.out.bias is \[3\] of float32; expected \[2\] of float32"),
        (torch.zeros(2, dtype=torch.int64), "of int64; expected"),
        (torch.tensor([0.0, torch.nan]), "not finite"),
        (torch.tensor([0.0, -torch.inf]), "not finite"),
        (None, "lacks head.scorer.out.bias"),
    ],
)
def test_tensors_of_another_kind_are_refused(folder, value, message):
    tensors = load_file(folder / delta.TENSORS) | {KEY: value}
    save_file({name: found for name, found in tensors.items() if found is not None}, folder / delta.TENSORS)
    with pytest.raises(UsageError, match=message):
        load_adaptation(folder)


def test_half_precision_is_no_other_kind(folder):
    tensors = load_file(folder / delta.TENSORS)
    save_file({name: value.half() for name, value in tensors.items()}, folder / delta.TENSORS)
    assert load_adaptation(folder).head.scorer.out.bias.dtype == torch.float32


@pytest.mark.parametrize("content", [b"", b"12345", b"\xff" * 100, None])
@pytest.mark.parametrize("name", [delta.TENSORS, delta.DESCRIPTION])
def test_files_that_are_not_whole_are_refused(folder, name, content):
    path = folder / name
    path.write_bytes(path.read_bytes()[:-40] if content is None else content)
    with pytest.raises(UsageError, match=rf"{name}.*(cannot be read|has format)"):
        load_adaptation(folder)
    path.unlink()
    with pytest.raises(UsageError, match=r"holds no|cannot be read"):
        load_adaptation(folder)


@pytest.mark.parametrize("value", [None, 3, "x", [], {}, [{}]])
@pytest.mark.parametrize(
    "path",
    [
        *("format", "fingerprint", "task", "config", "config.model", "config.data", "config.model.backbone"),
        *("config.model.strategy", "config.model.backbone.source", "config.model.strategy.init_args.rank"),
        *("config.model.pooling", "config.model.head", "config.model.pairs", "task.class_path", "task.init_args"),
        *("task.init_args.labels", "task.init_args.name", "task.init_args.metrics", "task.init_args.validation"),
    ],
)
def test_descriptions_of_other_types_end_in_one_line(folder, path, value):
    file = folder / delta.DESCRIPTION
    description = json.loads(file.read_text())
    *parents, last = path.split(".")
    inner = description
    for key in parents:
        inner = inner[key]
    inner[last] = value
    file.write_text(json.dumps(description))
    with suppress(UsageError):
        load_adaptation(folder)
    del inner[last]
    file.write_text(json.dumps(description))
    with suppress(UsageError):
        load_adaptation(folder)


def test_a_delta_that_is_not_finite_is_not_saved(make, tmp_path):
    model = AdaptedModel(make("bert"), LoRA(rank=2), glue_task("sst2"))
    with torch.no_grad():
        model.head.scorer.out.bias[0] = torch.nan
    with pytest.raises(UsageError, match=r"not saved: head.scorer.out.bias .* not finite"):
        delta.save(model, tmp_path / "delta")
    assert not (tmp_path / "delta").exists()


@pytest.mark.parametrize(
    ("rank", "message"),
    [
        (1, "holds 512 numbers, and LoRA on this backbone trains"),
        (65_536, "holds 512 numbers, and LoRA on this backbone trains"),
        (10**12, "rank=1000000000000: expected 1 to 65536"),
    ],
)
def test_a_size_that_the_tensors_have_not_is_found_before_it_is_made(folder, rank, message):
    file = folder / delta.DESCRIPTION
    description = json.loads(file.read_text())
    description["config"]["model"]["strategy"]["init_args"]["rank"] = rank
    file.write_text(json.dumps(description))
    with pytest.raises(UsageError, match=message):
        load_adaptation(folder)

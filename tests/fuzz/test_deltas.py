"""Deltas and PEFT adapters with anything changed are loaded, or refused in one line."""

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mutations import damaged, mutated
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModel

from lm_lab import AdaptedModel
from lm_lab.backbones import TransformersBackbone
from lm_lab.errors import UsageError
from lm_lab.interchange.peft_read import read
from lm_lab.models import delta
from lm_lab.models.loading import load_adaptation
from lm_lab.strategies import IA3, Combination, LayerNormTuning, LoRA, PromptTuning, RandomMask
from lm_lab.tasks import TextTask, glue_task

# PEFT 0.21 asks transformers 5.23 for a name that has changed
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
STRATEGIES = {
    "lora": LoRA(rank=2),
    "two": Combination([IA3(), LayerNormTuning()]),
    "mask": RandomMask(like=LoRA(rank=1)),
    "prompt": PromptTuning(length=3),
}
CONFIGS = {
    "lora": peft.LoraConfig(r=2, target_modules=["query", "value"], alpha_pattern={"value": 4}),
    "dora": peft.LoraConfig(r=2, target_modules=r".*query", use_dora=True),
    "ia3": peft.IA3Config(target_modules=["key", "value", r"output.dense"], feedforward_modules=["output.dense"]),
    "prompt": peft.PromptTuningConfig(num_virtual_tokens=3, task_type="FEATURE_EXTRACTION"),
}


@pytest.fixture(scope="module")
def deltas(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("deltas")
    return {
        name: delta.save(
            AdaptedModel(TransformersBackbone(str(folders["bert"])), strategy, glue_task("mrpc")), root / name
        )
        for name, strategy in STRATEGIES.items()
    }


@pytest.fixture(scope="module")
def adapters(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("adapters")
    for name, config in CONFIGS.items():
        peft.get_peft_model(AutoModel.from_pretrained(folders["bert"]), config).save_pretrained(root / name)
    return {name: root / name for name in CONFIGS}


def changed(value: Tensor, how: str) -> Tensor:
    """A tensor of another shape, kind or content."""
    if how == "nan":
        return torch.full_like(value, torch.nan)
    if how == "integer":
        return value.to(torch.int64)
    if how == "half":
        return value.to(torch.bfloat16)
    return {"scalar": value.flatten()[0].clone(), "short": value[:-1].clone(), "flat": value.flatten()}.get(
        how, value.unsqueeze(0).clone()
    )


def mutate_tensors(path: Path, data: st.DataObject) -> None:
    tensors = load_file(path)
    name = data.draw(st.sampled_from(sorted(tensors)))
    how = data.draw(st.sampled_from(["nan", "integer", "half", "scalar", "short", "flat", "deep", "remove", "rename"]))
    value = tensors.pop(name)
    if how == "rename":
        tensors[data.draw(st.sampled_from(["x", name[:-3], name.replace("0", "1"), f"base_model.{name}"]))] = value
    elif how != "remove":
        tensors[name] = changed(value, how)
    save_file(tensors, path)


def mutate_folder(source: Path, description: str, tensors: str, data: st.DataObject) -> Path:
    """A copy of a folder with its description, its tensors or its bytes changed."""
    folder = Path("mutant")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    how = data.draw(st.sampled_from(["description", "description", "tensors", "bytes", "missing"]))
    path = folder / data.draw(st.sampled_from([description, tensors]))
    if how == "description":
        known = json.loads((folder / description).read_text())
        (folder / description).write_text(json.dumps(mutated(known, data)))
    elif how == "tensors":
        mutate_tensors(folder / tensors, data)
    elif how == "bytes":
        path.write_bytes(damaged(path.read_bytes(), data))
    else:
        path.unlink()
    return folder


def finite(model: AdaptedModel) -> bool:
    return all(bool(value.isfinite().all()) for value in model.state_dict().values())


@pytest.mark.parametrize("name", STRATEGIES)
@given(data=st.data())
def test_mutated_deltas_load_or_end_in_one_line(deltas: dict[str, Path], name: str, data: st.DataObject) -> None:
    folder = mutate_folder(deltas[name], delta.DESCRIPTION, delta.TENSORS, data)
    with suppress(UsageError):
        assert finite(load_adaptation(folder))


@pytest.mark.parametrize("name", CONFIGS)
@given(data=st.data())
def test_mutated_adapters_are_read_or_end_in_one_line(
    folders: dict[str, Path], adapters: dict[str, Path], name: str, data: st.DataObject
) -> None:
    folder = mutate_folder(adapters[name], "adapter_config.json", "adapter_model.safetensors", data)
    backbone = TransformersBackbone(str(folders["bert"]))
    task: Any = data.draw(st.sampled_from([glue_task("sst2"), TextTask("own", labels=("a", "b", "c"))]))
    with suppress(UsageError):
        assert finite(read(folder, backbone, task).model)

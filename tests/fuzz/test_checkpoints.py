"""Strange checkpoints are gone on from, evaluated, or refused in one line with exit code 2."""

import copy
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from configurations import ADAPT, PRETRAIN, Tree, at_home
from endings import ends
from hypothesis import given
from hypothesis import strategies as st
from mutations import damaged, mutated
from slow import EXAMPLES

from lm_lab.cli import main

pytestmark = pytest.mark.filterwarnings("ignore")
COMMANDS = [("adapt", "fit"), ("adapt", "validate"), ("adapt", "test"), ("adapt", "predict"), ("pretrain", "fit")]
_KEEP = {
    "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
    "init_args": {"dirpath": "kept", "every_n_train_steps": 1, "save_top_k": -1},
}


@pytest.fixture
def checkpoint(command: str, folders: dict[str, Path], quietly: None) -> bytes:
    """The first of a run of two steps, whose configuration lies in config.yaml."""
    config = copy.deepcopy(at_home(ADAPT if command == "adapt" else PRETRAIN, folders["bert"]))
    config["trainer"] |= {"enable_checkpointing": True, "max_steps": 2, "callbacks": [_KEEP]}
    Path("config.yaml").write_text(json.dumps(config))
    assert main([command, "fit", "--config=config.yaml"]) == 0
    return min(Path("kept").glob("*.ckpt")).read_bytes()


def spoilt(content: bytes, data: st.DataObject) -> bytes:
    """Other bytes, or other entries and tensors."""
    if data.draw(st.integers(0, 3)) == 0:
        return damaged(content, data)
    plain: Any = torch.load(io.BytesIO(content), weights_only=True)
    part = data.draw(st.sampled_from(sorted(plain)))
    if data.draw(st.booleans()):
        plain = mutated(plain, data)
    elif data.draw(st.booleans()):
        _change_tensor(plain, data)
    else:
        plain[part] = mutated(plain[part], data)
    stream = io.BytesIO()
    torch.save(plain, stream)
    return stream.getvalue()


def _change_tensor(plain: Tree, data: st.DataObject) -> None:
    states = [plain["state_dict"], *plain["optimizer_states"][0]["state"].values()]
    state = data.draw(st.sampled_from(range(len(states))))
    name = data.draw(st.sampled_from(sorted(states[state])))
    value = states[state][name]
    new = [
        value[None],
        value.flatten()[:0],
        value.half(),
        value.long(),
        value * torch.nan,
        value + torch.inf,
        value.sum(),
    ]
    states[state][name] = new[data.draw(st.integers(0, len(new) - 1))]


@EXAMPLES
@pytest.mark.parametrize(("command", "subcommand"), COMMANDS)
@given(data=st.data())
def test_checkpoints_with_anything_changed(
    command: str, subcommand: str, checkpoint: bytes, capfd: pytest.CaptureFixture[str], data: st.DataObject
) -> None:
    Path("strange.ckpt").write_bytes(spoilt(checkpoint, data))
    changed = ["--resume-changed"] if subcommand == "fit" and data.draw(st.booleans()) else []
    ends([command, subcommand, "--config=config.yaml", "--ckpt_path=strange.ckpt", *changed], capfd)

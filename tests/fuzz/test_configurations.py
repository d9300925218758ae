"""Strange configurations and checkpoints end in a run, or in one line and exit code 2."""

import copy
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lm_lab.cli import main
from lm_lab.commands.lightning_cli import restrict

VALUES: list[Any] = [
    None, True, False, -1, 0, 1, 3, 10**9, 0.5, -0.5, float("nan"), float("inf"), "", "x", "1e-3", "../x", "a/b", [],
    [1], ["x"], {}, {"x": 1}, {"class_path": "os.system"}, {"class_path": "LoRA"}, {"class_path": "lm_lab.nothing"},
    "linear", "cls", "2024-01-01",
]  # fmt: skip
ADAPT: dict[str, Any] = {
    "seed_everything": 0,
    "model": {
        "strategy": {"class_path": "LoRA", "init_args": {"rank": 2, "alpha": 4.0, "dropout": 0.0}},
        "backbone": {"source": "", "pretrained": True, "dropout": 0.1, "attention": None, "revision": None},
        "learning_rate": 0.001, "pooling": "cls", "pairs": "joint", "head": None, "frozen_dropout": False,
        "delimiter": None,
        "optimizer": {"class_path": "lm_lab.training.optimizers.AdamW", "init_args": {"weight_decay": 0.01}},
        "scheduler": {"class_path": "WarmupLinear", "init_args": {"warmup": 0.1}},
    },
    "data": {
        "class_path": "GLUE",
        "init_args": {
            "task": "sst2", "source": "microworld", "batch_size": 4, "train_limit": 8, "validation_limit": 4,
            "max_length": 16, "holdout": 0, "num_workers": 0, "eval_batch_size": 4, "columns": None,
        },
    },
    "trainer": {
        "max_epochs": 1, "max_steps": 1, "accelerator": "cpu", "devices": 1, "precision": "32-true", "logger": False,
        "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False,
        "default_root_dir": "run", "accumulate_grad_batches": 1, "gradient_clip_val": 1.0, "limit_val_batches": 1,
        "check_val_every_n_epoch": 1, "val_check_interval": 1.0, "log_every_n_steps": 1, "callbacks": None,
    },
}  # fmt: skip
PRETRAIN: dict[str, Any] = {
    "seed_everything": 0,
    "model": {
        "backbone": ADAPT["model"]["backbone"],
        "objective": {"class_path": "lm_lab.objectives.MaskedLM", "init_args": {"probability": 0.2, "static": 0}},
        "learning_rate": 0.001,
    },
    "data": {
        "source": "microworld",
        "documents": 40,
        "held_out": 8,
        "batch_size": 4,
        "max_length": 16,
        "num_workers": 0,
    },
    "save": {"output": "saved"},
    "trainer": ADAPT["trainer"],
}
COSTLY = {
    "num_workers": {1, 3, 10**9},
    "documents": {10**9, None},
    "devices": {3, 10**9},
    "max_epochs": {10**9, -1, None, 3},
}


def places(tree: dict[str, Any], name: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in tree.items():
        yield (*name, key)
        if isinstance(value, dict):
            yield from places(value, (*name, key))


def changed(tree: dict[str, Any], name: tuple[str, ...], value: Any) -> dict[str, Any]:
    tree = copy.deepcopy(tree)
    at = tree
    for key in name[:-1]:
        at = at[key]
    at[name[-1]] = value
    return tree


def damaged(content: bytes, data: st.DataObject) -> bytes:
    """Some bytes somewhere are others, more or fewer."""
    cut = data.draw(st.integers(0, len(content)))
    return content[:cut] + data.draw(st.binary(max_size=8)) + content[cut + data.draw(st.integers(0, 9)) :]


@pytest.fixture
def quietly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("sys.argv", ["lm-lab"])
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    yield
    restrict()


def ends(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """0, or 2 and one line."""
    try:
        code = main(arguments)
    except SystemExit as stopped:
        code = stopped.code
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error:")]
    assert (code, len(said)) in {(0, 0), (2, 1)}, said


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("command", "config"), [("adapt", ADAPT), ("pretrain", PRETRAIN)])
def test_what_is_not_strange_runs(
    command: str, config: dict[str, Any], folders: dict[str, Path], quietly: None
) -> None:
    config = changed(config, ("model", "backbone", "source"), str(folders["bert"]))
    Path("config.yaml").write_text(yaml.safe_dump(config))
    assert main([command, "fit", "--config=config.yaml"]) == 0


@settings(max_examples=int(os.environ.get("LM_LAB_FUZZ_EXAMPLES", 5)))  # each is a run
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("command", "config"), [("adapt", ADAPT), ("pretrain", PRETRAIN)])
@given(data=st.data())
def test_configurations(
    command: str,
    config: dict[str, Any],
    folders: dict[str, Path],
    quietly: None,
    capfd: pytest.CaptureFixture[str],
    data: st.DataObject,
) -> None:
    config = changed(config, ("model", "backbone", "source"), str(folders["bert"]))
    name = data.draw(st.sampled_from(sorted(places(config))))
    value = data.draw(st.sampled_from(VALUES))
    if any(value is costly or value == costly for costly in COSTLY.get(name[-1], [])):
        return
    Path("config.yaml").write_text(yaml.safe_dump(changed(config, name, value)))
    ends([command, "fit", "--config=config.yaml"], capfd)


@settings(max_examples=int(os.environ.get("LM_LAB_FUZZ_EXAMPLES", 5)))  # each is a run
@pytest.mark.filterwarnings("ignore")
@given(data=st.data())
def test_texts_that_are_no_configurations(
    folders: dict[str, Path], quietly: None, capfd: pytest.CaptureFixture[str], data: st.DataObject
) -> None:
    text = yaml.safe_dump(changed(ADAPT, ("model", "backbone", "source"), str(folders["bert"]))).encode()
    cut = data.draw(st.integers(0, len(text)))
    Path("config.yaml").write_bytes(
        text[:cut] + data.draw(st.binary(max_size=8)) + text[cut + data.draw(st.integers(0, 9)) :]
    )
    ends(["adapt", "fit", "--config=config.yaml"], capfd)


@pytest.fixture
def checkpoint(folders: dict[str, Path], quietly: None) -> bytes:
    config = changed(ADAPT, ("model", "backbone", "source"), str(folders["bert"]))
    keep = {"dirpath": "kept", "every_n_train_steps": 1, "save_top_k": -1}
    callbacks = [{"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": keep}]
    config["trainer"] |= {"enable_checkpointing": True, "max_steps": -1, "callbacks": callbacks}
    Path("config.yaml").write_text(json.dumps(config))
    assert main(["adapt", "fit", "--config=config.yaml"]) == 0
    return min(Path("kept").glob("*.ckpt")).read_bytes()


@settings(max_examples=int(os.environ.get("LM_LAB_FUZZ_EXAMPLES", 5)))  # each is a run
@pytest.mark.filterwarnings("ignore")
@given(data=st.data())
def test_checkpoints(checkpoint: bytes, capfd: pytest.CaptureFixture[str], data: st.DataObject) -> None:
    if data.draw(st.booleans()):
        content = damaged(checkpoint, data)
    else:
        plain = torch.load(io.BytesIO(checkpoint), weights_only=True)
        name = data.draw(st.sampled_from(sorted(places(plain), key=str)))
        stream = io.BytesIO()
        torch.save(changed(plain, name, data.draw(st.sampled_from([None, 0, -1, "x", [], {}, torch.ones(2)]))), stream)
        content = stream.getvalue()
    Path("strange.ckpt").write_bytes(content)
    ends(["adapt", "fit", "--config=config.yaml", "--ckpt_path=strange.ckpt"], capfd)

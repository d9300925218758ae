"""A checkpoint that is damaged, edited or of something else ends in one line, of every command that takes one."""

import copy
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lm_lab.cli import main
from lm_lab.config.imports import restrict

Checkpoint = dict[str, Any]
SETTINGS = [
    "--model.strategy=BitFit", "--data=GLUE", "--data.task=sst2", "--data.source=microworld", "--data.train_limit=8",
    "--data.validation_limit=4", "--data.batch_size=4", "--trainer.max_epochs=1", "--trainer.accelerator=cpu",
    "--trainer.default_root_dir=run", "--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.dirpath=kept",
    "--trainer.callbacks.every_n_train_steps=1", "--trainer.callbacks.save_top_k=-1",
]  # fmt: skip


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch, folders: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> Any:
    """Exit code and lines of error of a subcommand on `strange.ckpt`."""
    monkeypatch.setattr("sys.argv", ["lm-lab"])
    settings = [*SETTINGS, f"--model.backbone.source={folders['bert']}"]
    assert main(["adapt", "fit", *settings]) == 0

    def run(subcommand: str) -> tuple[int, list[str]]:
        capfd.readouterr()
        code = main(["adapt", subcommand, *settings, "--ckpt_path=strange.ckpt"])
        return code, [line for line in capfd.readouterr().err.splitlines() if line.startswith("error:")]

    yield run
    restrict()


def kept() -> bytes:
    return min(Path("kept").glob("*step=1.ckpt")).read_bytes()


def moments() -> Tensor:
    return torch.load(io.BytesIO(kept()), weights_only=True)["optimizer_states"][0]["state"][0]["exp_avg"]


def edited(change: Callable[[Checkpoint], Any]) -> bytes:
    found = copy.deepcopy(torch.load(io.BytesIO(kept()), weights_only=True))
    change(found)
    stream = io.BytesIO()
    torch.save(found, stream)
    return stream.getvalue()


def _random(name: str, value: Any) -> Callable[[Checkpoint], Any]:
    return lambda found: found["callbacks"]["ExactResume"]["processes"][0].update({name: value})


EDITS: dict[str, Callable[[Checkpoint], Any]] = {
    "no optimiser": lambda found: found.update(optimizer_states=[]),
    "no schedule": lambda found: found.pop("lr_schedulers"),
    "no random numbers": lambda found: found["callbacks"].pop("ExactResume"),
    "another shape": lambda found: found["state_dict"].update({min(found["state_dict"]): torch.ones(3, 3)}),
    "counts": lambda found: found["loops"]["fit_loop"].update({"epoch_progress": ["x"]}),
    "moments": lambda found: found["optimizer_states"][0]["state"][0].update(exp_avg=torch.ones(2, 3)),
    "Python's numbers": _random("python", [3, [1, 2], None]),
    "numpy's numbers": _random("numpy", ["MT19937", [[1], [2, 3]], 0, 0, 0.0]),
    "torch's numbers": _random("torch", torch.ones(2)),
}


@pytest.mark.parametrize("subcommand", ["fit", "validate", "test", "predict"])
def test_a_checkpoint_with_other_bytes_is_damaged(ends: Any, subcommand: str) -> None:
    whole = kept()
    at = whole.index(moments().numpy().tobytes())
    for content in (whole[:-500], b"", b"x" * 99, whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]):
        Path("strange.ckpt").write_bytes(content)
        code, said = ends(subcommand)
        assert (code, len(said)) == (2, 1)
        assert "strange.ckpt is no whole checkpoint" in said[0]


@pytest.mark.parametrize("edit", EDITS)
def test_a_fit_does_not_go_on_from_an_edited_checkpoint(ends: Any, edit: str) -> None:
    Path("strange.ckpt").write_bytes(edited(EDITS[edit]))
    code, said = ends("fit")
    assert (code, len(said)) == (2, 1)
    assert re.search(r"strange\.ckpt|the checkpoint", said[0])


@pytest.mark.parametrize("subcommand", ["validate", "test", "predict"])
def test_an_evaluation_takes_no_weights_of_other_shapes(ends: Any, subcommand: str) -> None:
    Path("strange.ckpt").write_bytes(edited(EDITS["another shape"]))
    code, said = ends(subcommand)
    assert (code, len(said)) == (2, 1)


def test_a_whole_checkpoint_goes_on(ends: Any) -> None:
    Path("strange.ckpt").write_bytes(kept())
    assert ends("fit") == (0, [])
    assert ends("validate") == (0, [])

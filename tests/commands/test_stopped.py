"""A fit that is told to stop keeps its place, says so by its exit code, and the same command goes on to the bit."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lm_lab.cli import main
from lm_lab.config.imports import restrict
from lm_lab.training.resuming import unfinished

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    monkeypatch.setattr("sys.argv", ["lm-lab"])
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    yield lambda *words: main([str(word) for word in words])
    restrict()


def words(folders: dict[str, Path], command: str, root: str, *more: str) -> list[str]:
    common = [
        f"--model.backbone.source={folders['bert']}", f"--trainer.default_root_dir={root}", "--trainer.max_epochs=2",
        "--trainer.accelerator=cpu", "--trainer.precision=32-true", *more,
    ]  # fmt: skip
    if command == "adapt":
        data = ["--data=GLUE", "--data.task=sst2", "--data.source=microworld", "--data.train_limit=64"]
        return [
            "adapt",
            "fit",
            *data,
            "--data.validation_limit=20",
            "--data.batch_size=8",
            "--model.strategy=LoRA",
            *common,
        ]
    config = ROOT / "configs/pretraining/microworld_mlm.yaml"
    data = ["--data.documents=160", "--data.held_out=32", "--data.batch_size=16", f"--save.output={root}/backbone"]
    return ["pretrain", "fit", f"--config={config}", *data, *common]


def told(arguments: list[str], number: int, batch: int, times: int = 1) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own, told to stop in a batch."""
    spy = ["--allow-import=spies", "--trainer.callbacks+=spies.Tell", f"--trainer.callbacks.batch={batch}"]
    spy += [f"--trainer.callbacks.number={number}", f"--trainer.callbacks.times={times}"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(ROOT)])}
    command = [sys.executable, "-m", "lm_lab", *arguments, *spy]
    # tests that run in the background of a shell ignore Ctrl-C, and so would their children
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, preexec_fn=heard)


def weights(root: str) -> dict[str, torch.Tensor]:
    (found,) = [*Path(root).glob("**/delta.safetensors"), *Path(root).glob("backbone/model.safetensors")]
    return load_file(found)


@pytest.mark.parametrize(
    ("command", "number", "batch"),
    [
        pytest.param("adapt", signal.SIGTERM, 3, marks=pytest.mark.slow),
        ("adapt", signal.SIGINT, 8),
        ("pretrain", signal.SIGTERM, 10),
    ],
)
def test_the_same_command_goes_on_to_the_bit(
    folders: dict[str, Path],
    here: Callable[..., int],
    capfd: pytest.CaptureFixture[str],
    command: str,
    number: int,
    batch: int,
) -> None:
    done = told(words(folders, command, "stopped"), number, batch)
    assert done.returncode == 128 + number, done.stderr
    assert f"stopped at step {batch}; its place is in stopped/unfinished/" in done.stderr
    assert not [*Path("stopped").glob("**/delta.safetensors"), *Path("stopped").glob("backbone")]
    assert here(*words(folders, command, "stopped")) == 0
    assert "resuming from stopped/unfinished/" in (err := capfd.readouterr().err)
    assert f"step {batch} (--fresh starts over)" in err
    assert not list(Path("stopped/unfinished").iterdir())
    assert here(*words(folders, command, "whole")) == 0
    assert "resuming" not in capfd.readouterr().err
    one, other = weights("stopped"), weights("whole")
    assert all(torch.equal(one[name], other[name]) for name in one.keys() | other.keys())


def test_ctrl_c_twice_stops_at_once(folders: dict[str, Path]) -> None:
    done = told(words(folders, "adapt", "twice"), signal.SIGINT, 2, times=2)
    assert done.returncode == 130, done.stderr
    assert "stopping after this batch; Ctrl-C again stops at once" in done.stderr
    assert not list(Path("twice").glob("**/delta.safetensors"))


def test_a_run_without_checkpoints_says_that_it_is_not_done(folders: dict[str, Path]) -> None:
    off = words(folders, "adapt", "off", "--trainer.enable_checkpointing=false")
    done = told(off, signal.SIGTERM, 2)
    assert done.returncode == 143
    assert "stopped at step 2; checkpointing is off" in done.stderr
    assert not Path("off/unfinished").exists()


@pytest.fixture(scope="module")
def checkpoint(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A place in the first epoch; no test writes there."""
    root = tmp_path_factory.mktemp("stopped")
    done = told(words(folders, "adapt", str(root)), signal.SIGTERM, 3)
    (found,) = (root / "unfinished").iterdir()
    assert done.returncode == 143
    return str(found)


def test_what_decides_may_not_change(
    folders: dict[str, Path], here: Callable[..., int], capfd: pytest.CaptureFixture[str], checkpoint: str
) -> None:
    resume = [*words(folders, "adapt", "other"), f"--ckpt_path={checkpoint}"]
    cases: list[tuple[list[str], str]] = [
        (["--data.batch_size=4"], "data.init_args.batch_size was 8, is 4; --resume-changed goes on"),
        (["--model.learning_rate=0.5"], "model.learning_rate was 0.0005, is 0.5"),
        (["--data.train_limit=48"], "data.init_args.train_limit was 64, is 48; data was"),
        (["--model.strategy.rank=4"], "model.strategy.init_args.rank was 8, is 4, which a run cannot go on with"),
        (["--model.strategy.rank=4", "--resume-changed"], "rank was 8, is 4, which a run cannot go on with"),
        ([f"--model.backbone.source={folders['electra']}"], "weights was "),
        (["--trainer.accumulate_grad_batches=2"], "trainer.accumulate_grad_batches was 1, is 2"),
    ]
    for more, message in cases:
        assert here(*resume, *more) == 2
        said = capfd.readouterr().err
        assert message in said, said
        assert len(said.strip().splitlines()[-1:]) == 1
    assert here(*resume, "--fresh", "--data.batch_size=4", "--trainer.max_steps=1") == 0
    assert "resuming" not in capfd.readouterr().err
    shutil.rmtree("other")
    assert here(*resume, "--data.num_workers=2", "--data.eval_batch_size=7") == 0
    assert here(*words(folders, "adapt", "whole")) == 0
    one, other = weights("other"), weights("whole")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_changed_rate_is_really_applied(folders: dict[str, Path], here: Callable[..., int], checkpoint: str) -> None:
    for root, rate in (("same", None), ("larger", 0.1)):
        more: list[Any] = [] if rate is None else [f"--model.learning_rate={rate}", "--resume-changed"]
        assert here(*words(folders, "adapt", root), f"--ckpt_path={checkpoint}", *more) == 0
    same, larger = weights("same"), weights("larger")
    moved = max((same[name] - larger[name]).abs().max().item() for name in same)
    assert moved > 0.05


def test_checkpoints_that_are_none_are_one_line(
    folders: dict[str, Path], here: Callable[..., int], capfd: pytest.CaptureFixture[str], checkpoint: str
) -> None:
    whole = Path(checkpoint).read_bytes()
    Path("empty.ckpt").write_bytes(b"")
    Path("cut.ckpt").write_bytes(whole[: len(whole) // 2])
    Path("text.ckpt").write_text("not a checkpoint")
    torch.save({"weights": torch.ones(2)}, "foreign.ckpt")
    plain = torch.load(checkpoint, weights_only=True)
    plain.pop("lm_lab")
    torch.save(plain, "own.ckpt")
    cases = {
        "empty.ckpt": "is no whole checkpoint",
        "cut.ckpt": "is no whole checkpoint",
        "text.ckpt": "is no whole checkpoint",
        "foreign.ckpt": "is no checkpoint of Lightning's",
        "own.ckpt": "does not say what it is of",
        "missing.ckpt": "there is no such file",
        "http://127.0.0.1:9/a.ckpt": "expected a file on this disk",
        "s3://bucket/a.ckpt": "expected a file on this disk",
    }
    for path, message in cases.items():
        assert here(*words(folders, "adapt", "other"), f"--ckpt_path={path}") == 2, path
        said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error:")]
        assert len(said) == 1, path
        assert message in said[0]


@pytest.mark.parametrize(("share", "at_least", "at_most"), [(1e9, 5, 100), (1e-9, 1, 1)])
def test_a_place_is_kept_as_often_as_it_is_quick(
    folders: dict[str, Path], here: Callable[..., int], monkeypatch: pytest.MonkeyPatch, share: float, at_least: int,
    at_most: int,
) -> None:  # fmt: skip
    """So that what ends without a word loses little, in a pretraining of two minutes too."""
    written: list[int] = []
    write = unfinished.Stoppable._write

    def counted(self: unfinished.Stoppable, trainer: Any) -> None:
        write(self, trainer)
        written.append(trainer.global_step)

    monkeypatch.setattr(unfinished, "SECONDS", 0.0)
    monkeypatch.setattr(unfinished, "SHARE", share)
    monkeypatch.setattr(unfinished.Stoppable, "_write", counted)
    assert here(*words(folders, "pretrain", "often")) == 0
    assert at_least <= len(written) <= at_most

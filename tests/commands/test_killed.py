"""Pretraining killed with SIGKILL, then the same command: the weights are those of an undisturbed run, to the bit."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from lm_lab.cli import main
from lm_lab.config.imports import restrict

ROOT = Path(__file__).parents[2]
BATCHES = 40  # 5 epochs of 8, two a step, a checkpoint every second step
SECONDS = "seconds of training"
Words = Callable[[str], list[str]]
Moment = tuple[int, bool]


@pytest.fixture
def words(folders: dict[str, Path], tmp_path: Path) -> Words:
    """The command, with a folder of its own for checkpoints and backbone; dropout and masks are drawn."""

    def command(name: str) -> list[str]:
        fragment = yaml.safe_load((ROOT / "configs" / "trainer" / "resumable.yaml").read_text())
        settings = fragment["trainer"]["callbacks"][0]["init_args"]
        settings |= {"dirpath": str(tmp_path / name), "every_n_train_steps": 2}
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(fragment))
        return [
            "pretrain", "fit", f"--config={ROOT / 'configs/pretraining/microworld_mlm.yaml'}", f"--config={path}",
            f"--model.backbone.source={folders['bert']}", "--data.documents=160", "--data.held_out=32",
            "--data.batch_size=16", "--trainer.precision=32-true", "--trainer.enable_progress_bar=false",
            "--trainer.max_epochs=5", "--trainer.accumulate_grad_batches=2", "--ckpt_path=last",
            f"--save.output={tmp_path / name / 'backbone'}",
        ]  # fmt: skip

    return command


@pytest.fixture
def whole(words: Words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The backbone of an undisturbed run."""
    monkeypatch.setattr("sys.argv", ["lm-lab"])
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    assert main(words("whole")) == 0
    yield tmp_path / "whole" / "backbone"
    restrict()


def run(words: list[str], *options: str) -> int:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(ROOT)])}
    command = [sys.executable, "-m", "lm_lab", *words, *options]
    return subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False).returncode


def killed(words: list[str], moments: list[Moment]) -> None:
    """Start the same command again and again, killed at each moment, then let it end."""
    for batch, saving in moments:
        spy = [f"--trainer.callbacks.batch={batch}", f"--trainer.callbacks.saving={str(saving).lower()}"]
        assert run(words, "--allow-import=spies", "--trainer.callbacks+=spies.Die", *spy) == -signal.SIGKILL
    assert run(words) == 0


def require_same(one: Path, other: Path) -> None:
    """Same weights to the bit, and facts that count the same steps, tokens and operations; times and folders differ."""
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    first, second = (json.loads((folder / "pretraining.json").read_text()) for folder in (one, other))
    assert {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)} <= {
        SECONDS,
        "command",
    }


def test_killed_while_saving_and_in_the_middle_of_a_step(words: Words, whole: Path, tmp_path: Path) -> None:
    """Step 4 is saved after batch 8, which fails; from step 2 on, batch 5 writes a checkpoint within step 3."""
    killed(words("killed"), [(6, True), (6, False)])
    require_same(whole, tmp_path / "killed" / "backbone")


@pytest.mark.slow
def test_killed_at_ten_random_moments(words: Words, whole: Path, tmp_path: Path) -> None:
    draw = random.Random(0)
    killed(words("killed"), [(batch, draw.random() < 0.4) for batch in sorted(draw.sample(range(1, BATCHES - 4), 10))])
    require_same(whole, tmp_path / "killed" / "backbone")

"""`lm-lab pretrain fit` as a user types it: every optimiser and schedule, going on from saved weights."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from lm_lab.cli import main
from lm_lab.config.imports import restrict

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs" / "pretraining" / "microworld_mlm.yaml"
FRAGMENTS = [path for kind in ("optimizers", "schedules") for path in sorted((ROOT / "configs" / kind).glob("*.yaml"))]
Command = Callable[..., int]


@pytest.fixture
def pretrain(monkeypatch: pytest.MonkeyPatch, folders: dict[str, Path]) -> Iterator[Command]:
    """Run the command on a tiny BERT and a few texts."""
    monkeypatch.setattr("sys.argv", ["lm-lab"])  # Lightning warns if pytest's own arguments are there too
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # Lightning's own use of jsonargparse
    small = [
        f"--config={CONFIG}", f"--model.backbone.source={folders['bert']}", "--data.documents=96",
        "--data.held_out=32", "--data.batch_size=16", "--trainer.precision=32-true",
        "--trainer.enable_progress_bar=false", "--trainer.max_epochs=1", "--trainer.check_val_every_n_epoch=1",
    ]  # fmt: skip
    yield lambda *options: main(["pretrain", "fit", *small, *options])
    restrict()


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def facts(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "pretraining.json").read_text())
    return found


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=lambda path: path.stem)
def test_every_optimiser_and_schedule_trains(pretrain: Command, fragment: Path, folders: dict[str, Path]) -> None:
    assert pretrain(f"--config={fragment}", "--save.output=out") == 0
    before, after = weights(folders["bert"]), weights(Path("out"))
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert len(moved) > 0.9 * len(after)
    named = yaml.safe_load(fragment.read_text())["model"]
    saved = yaml.safe_load(Path("out/pretraining.yaml").read_text())["model"]
    for part in ("optimizer", "scheduler"):
        if part in named:
            assert saved[part]["class_path"] == named[part]["class_path"]


def test_what_is_saved_beside_the_weights_trains_them_once_more(pretrain: Command) -> None:
    assert pretrain("--save.output=first", "--trainer.max_epochs=2") == 0
    assert not list(Path().rglob("config.yaml"))
    assert main(["pretrain", "fit", "--config=first/pretraining.yaml", "--save.output=second"]) == 0
    assert (Path("first") / "model.safetensors").read_bytes() == (Path("second") / "model.safetensors").read_bytes()


def test_pretraining_goes_on_from_what_was_saved(pretrain: Command, folders: dict[str, Path]) -> None:
    assert pretrain("--save.output=first", "--trainer.max_epochs=3") == 0
    # a rate of nothing shows what training starts from
    assert pretrain("--model.backbone.source=first", "--save.output=same", "--model.learning_rate=0") == 0
    before, after = weights(Path("first")), weights(Path("same"))
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    assert facts(Path("same"))["started from"] == "weights"
    text = Path("other.txt")
    text.write_text("\n".join(json.loads((Path("first") / "tokenizer.json").read_text())["model"]["vocab"]) * 3)
    options = ["--data.source=other.txt", "--data.documents=null", "--data.held_out=20"]
    assert pretrain("--model.backbone.source=first", "--save.output=second", *options) == 0
    assert facts(Path("second"))["corpus"].startswith("other.txt")
    assert not all(torch.equal(value, before[name]) for name, value in weights(Path("second")).items())


def test_what_training_took_is_saved(pretrain: Command) -> None:
    assert pretrain("--save.output=out", "--trainer.max_epochs=2") == 0
    said = facts(Path("out"))
    assert said["floating point operations"] > 1e6
    assert said["seconds of training"] > 0
    assert not any(name.startswith("speed/") for name in said)


def test_spans_may_be_found_by_a_chunker(pretrain: Command, capsys: pytest.CaptureFixture[str]) -> None:
    spans = ("--data.spans=PhraseChunker", "--save.output=out")
    assert pretrain(*spans) == 0
    saved = yaml.safe_load(Path("out/pretraining.yaml").read_text())["data"]["spans"]
    assert saved["class_path"] == "lm_lab.data.PhraseChunker"
    assert pretrain(*spans, "--data.spans.longest=1") == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: longest=1: a phrase has at least 2 words."

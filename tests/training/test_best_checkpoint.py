"""A delta of the best checkpoint, by a split that is named."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from lm_lab.cli import main
from lm_lab.config.imports import restrict

BEST = Path(__file__).parents[2] / "configs/trainer/best.yaml"


@pytest.fixture(autouse=True)
def unrestricted() -> Iterator[None]:
    yield
    restrict()


DATA = ["--data.source=microworld", "--data.train_limit=512", "--data.holdout=64", "--data.validation_limit=40"]


def fit(backbone: Path, *words: str) -> int:
    return main([
        "adapt", "fit", f"--model.backbone.source={backbone}", "--model.strategy=FullFineTuning",
        "--data=GLUE", "--data.task=sst2", *DATA, "--trainer.max_epochs=4", "--trainer.accelerator=cpu",
        "--model.learning_rate=0.003", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false",
        *words,
    ])  # fmt: skip


def by(mode: str) -> str:
    """The fragment with another mode and folders of its own, as an option."""
    config = yaml.safe_load(BEST.read_text())
    config["trainer"]["default_root_dir"] = mode
    config["trainer"]["callbacks"][0]["init_args"] |= {"mode": mode, "dirpath": f"kept/{mode}"}
    Path(f"{mode}.yaml").write_text(yaml.safe_dump(config))
    return f"--config={mode}.yaml"


def test_the_delta_is_the_best_checkpoints_and_says_so(
    folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    values = {}
    for mode in ("max", "min"):
        assert fit(folders["bert"], by(mode)) == 0
        (folder,) = Path(mode).glob("**/delta")
        chosen = json.loads((folder / "adaptation.json").read_text())["chosen"]
        said = f"delta: {folder}, of the best selection/score: {chosen['value']:.4g} at step {chosen['step']}\n"
        assert said in capsys.readouterr().out
        (kept,) = Path("kept", mode).glob("*.ckpt")
        checkpoint = torch.load(kept, weights_only=True)
        tensors = load_file(folder / "delta.safetensors")
        assert checkpoint["global_step"] == chosen["step"]
        assert all(torch.equal(tensors[name], checkpoint["state_dict"][f"model.{name}"]) for name in tensors)
        assert validated(folder, capsys) == pytest.approx(chosen["value"], abs=1e-6)
        values[mode] = chosen["value"]
    assert values["min"] < values["max"]  # so one of them is not the last epoch's


def validated(folder: Path, capsys: pytest.CaptureFixture[str]) -> float:
    words = [*DATA, f"--delta={folder}", "--trainer.logger=false", "--trainer.enable_progress_bar=false"]
    assert main(["adapt", "validate", *words]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "selection/score" in line]
    return float(line.split("│")[2])


def test_without_a_monitor_it_is_the_last_steps(folders: dict[str, Path]) -> None:
    assert fit(folders["bert"]) == 0
    (description,) = Path("runs").glob("**/adaptation.json")
    assert json.loads(description.read_text())["chosen"] is None


def test_a_split_that_is_not_there_is_named(folders: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert fit(folders["bert"], f"--config={BEST}", "--data.holdout=0") == 2
    assert "monitors 'selection/score', which nothing logs; there is " in capsys.readouterr().err

"""What a fit says when it ends, in a pipe as in a terminal."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file

from lm_lab.cli import main
from lm_lab.config.imports import restrict

BEST = Path(__file__).parents[2] / "configs/trainer/best.yaml"
DATA = ["--data.source=microworld", "--data.train_limit=256", "--data.validation_limit=40"]


@pytest.fixture(autouse=True)
def unrestricted() -> Iterator[None]:
    yield
    restrict()


def fit(backbone: Path, *words: str) -> int:
    return main([
        "adapt", "fit", f"--model.backbone.source={backbone}", "--model.strategy=BitFit", "--data=GLUE",
        "--data.task=sst2", *DATA, "--trainer.max_epochs=3", "--trainer.accelerator=cpu", "--model.learning_rate=0.03",
        *words,
    ])  # fmt: skip


def told(out: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in out.splitlines() if re.match(r"\w+: ", line))


def validated(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> float:
    data = [*DATA, *words]
    assert main(["adapt", "validate", "--delta", str(folder), *data]) == 0
    found = re.search(r"validation/accuracy\W+([0-9.]+)", capsys.readouterr().out)
    assert found is not None
    return float(found[1])


def test_a_fit_ends_with_scores_costs_and_the_command_that_predicts(
    folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(folders["bert"]) == 0
    said = told(capsys.readouterr().out)
    folder = Path(said["delta"])
    count = sum(value.numel() for value in load_file(folder / "delta.safetensors").values())
    assert said["trained"].startswith(f"{count:,} of ")
    assert re.match(r"24 steps, .*s, .* at the peak", said["training"])
    found = re.fullmatch(r"accuracy ([0-9.]+) \(40 examples\)", said["validation"])
    assert found is not None
    assert float(found[1]) == pytest.approx(100 * validated(folder, capsys), abs=0.051)
    Path("FILE").write_text("a film\n")
    assert main(shlex.split(said["predict"])[1:]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= 1


def test_the_scores_are_those_of_the_step_that_was_saved(
    folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(folders["bert"], f"--config={BEST}", "--data.holdout=64", "--trainer.callbacks.mode=min") == 0
    said = told(capsys.readouterr().out)
    folder = Path(said["delta"].partition(",")[0])
    assert json.loads((folder / "adaptation.json").read_text())["chosen"]["step"] < 18
    assert re.fullmatch(r"accuracy [0-9.]+ \(64 examples of train, held out\)", said["selection"])
    score = validated(folder, capsys, "--data.holdout=64")
    assert said["validation"].startswith(f"accuracy {100 * score:.1f} ")


def test_without_a_validation_of_these_weights_no_score_is_told(
    folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(folders["bert"], "--trainer.limit_val_batches=0") == 0
    said = told(capsys.readouterr().out)
    assert "validation" not in said
    assert "trained" in said

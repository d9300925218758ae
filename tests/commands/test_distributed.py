"""Two processes on a CPU train as one does on batches of both; each draws its own noise; they resume to the bit."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch.strategies import FSDPStrategy
from safetensors.torch import load_file

from lm_lab.backbones import Backbone
from lm_lab.cli import main
from lm_lab.config.imports import restrict
from lm_lab.errors import UsageError
from lm_lab.objectives import CausalLM
from lm_lab.training.pretraining import Pretraining

ROOT = Path(__file__).parents[2]
SHORT = [  # three batches to validate on: one process has two, the other one
    "--data.documents=168", "--data.held_out=40", "--data.batch_size=16", "--trainer.precision=32-true",
    "--trainer.enable_progress_bar=false", "--trainer.check_val_every_n_epoch=1", "--allow-import=spies",
    "--trainer.callbacks+=spies.Trace",
]  # fmt: skip


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """The command in this process."""
    monkeypatch.setattr("sys.argv", ["lm-lab"])
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    yield main
    restrict()


def two_processes(words: list[str], strategy: str = "ddp") -> None:
    words = [*words, "--trainer.devices=2", f"--trainer.strategy={strategy}"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(ROOT)])}
    subprocess.run([sys.executable, "-m", "lm_lab", *words], env=environment, stdout=subprocess.DEVNULL, check=True)


def traces(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("rank*.json"))]


def said(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "pretraining.json").read_text())
    return found


@pytest.mark.parametrize("strategy", ["ddp", "fully_sharded"])
def test_two_processes_are_one_with_twice_the_batch(
    here: Callable[..., int], folders: dict[str, Path], tmp_path: Path, strategy: str
) -> None:
    """Processes take turns over the list of batches, so one that sums up two batches a step sees the same ones.

    Neither dropout nor the objective draws anything; SGD, since Adam's first steps turn rounding into signs.
    """

    def words(name: str) -> list[str]:
        return [
            "pretrain", "fit", f"--config={ROOT / 'configs/pretraining/microworld_causal_lm.yaml'}",
            f"--config={ROOT / 'configs/optimizers/sgd.yaml'}", f"--model.backbone.source={folders['gpt2']}",
            "--model.backbone.dropout=0", "--trainer.max_epochs=2", f"--save.output={tmp_path / name}", *SHORT,
            f"--trainer.callbacks.folder={tmp_path / f'{name}-seen'}",
        ]  # fmt: skip

    two_processes(words("two"), strategy)
    assert here([*words("one"), "--trainer.accumulate_grad_batches=2"]) == 0
    (one,), two = traces(tmp_path / "one-seen"), traces(tmp_path / "two-seen")
    assert len(one["losses"]) == 16
    dealt = [loss for both in zip(*(rank["losses"] for rank in two), strict=True) for loss in both]
    assert dealt == pytest.approx(one["losses"], rel=1e-5)
    assert [rank["tokens"] for rank in two] == [one["tokens"]] * 2
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=1e-4, atol=1e-6)
    facts, of_two = said(tmp_path / "one"), said(tmp_path / "two")
    assert (facts["steps"], facts["tokens"]) == (of_two["steps"], of_two["tokens"])
    name = "floating point operations"
    assert facts[name] == pytest.approx(of_two[name], rel=0.02)  # each counts the first batch of a shape that it meets
    assert facts["val/loss"] == pytest.approx(of_two["val/loss"], abs=2e-4)
    assert two[0]["generator"] != two[1]["generator"]  # each will hide other places and drop other units


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fully_sharded"])
def test_two_processes_resume_to_the_bit(folders: dict[str, Path], tmp_path: Path, strategy: str) -> None:
    """From a checkpoint in the middle; masks and dropout are drawn, so each process needs its own generators back."""

    def words(name: str) -> list[str]:
        keep = "--trainer.callbacks+=lightning.pytorch.callbacks.ModelCheckpoint"
        return [
            "pretrain", "fit", f"--config={ROOT / 'configs/pretraining/microworld_mlm.yaml'}",
            f"--model.backbone.source={folders['bert']}", "--trainer.max_epochs=2", *SHORT,
            f"--trainer.callbacks.folder={tmp_path / f'{name}-seen'}", f"--save.output={tmp_path / name}",
            "--trainer.enable_checkpointing=true", keep, f"--trainer.callbacks.dirpath={tmp_path / 'kept'}",
            "--trainer.callbacks.every_n_train_steps=3", "--trainer.callbacks.save_top_k=-1",
            "--trainer.callbacks.filename={step}",
        ]  # fmt: skip

    two_processes(words("whole"), strategy)
    two_processes([*words("resumed"), f"--ckpt_path={tmp_path / 'kept' / 'step=3.ckpt'}"], strategy)
    whole, resumed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "resumed"))
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    ends = [[rank["generator"] for rank in traces(tmp_path / f"{name}-seen")] for name in ("whole", "resumed")]
    assert ends[0] == ends[1]
    assert ends[0][0] != ends[0][1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["mlm", "quickstart", "electra", "span_corruption", "bart", "bert_nsp", "xlnet", "transformer_xl"]
)
def test_sharded_weights_learn_as_whole_ones(tmp_path: Path, name: str) -> None:
    """Tied embeddings, a generator that shares them, two readers of one pass, memories; AdamW (Muon) and dropout."""

    def words(kind: str) -> list[str]:
        config = ROOT / f"configs/pretraining/microworld_{name}.yaml"
        source = yaml.safe_load(config.read_text())["model"]["backbone"]["source"]
        return [
            "pretrain", "fit", f"--config={config}", f"--model.backbone.source={ROOT / source}",
            "--trainer.max_epochs=1", f"--save.output={tmp_path / kind}", *SHORT,
            f"--trainer.callbacks.folder={tmp_path / f'{kind}-seen'}",
        ]  # fmt: skip

    two_processes(words("whole"), "ddp_find_unused_parameters_true")
    two_processes(words("sharded"), "fully_sharded")
    whole, sharded = (load_file(tmp_path / kind / "model.safetensors") for kind in ("whole", "sharded"))
    assert whole.keys() == sharded.keys()
    for tensor, value in whole.items():
        torch.testing.assert_close(sharded[tensor], value, rtol=1e-3, atol=1e-4)
    for found, expected in zip(traces(tmp_path / "sharded-seen"), traces(tmp_path / "whole-seen"), strict=True):
        assert found["losses"] == pytest.approx(expected["losses"], rel=1e-4)


def test_other_ways_of_sharing_weights_out_are_refused(make: Callable[..., Backbone]) -> None:
    model = Pretraining(make("gpt2"), CausalLM)
    model.trainer = SimpleNamespace(strategy=FSDPStrategy())
    with pytest.raises(UsageError, match="FSDPStrategy is not supported; use ddp, or fully_sharded"):
        model.setup("fit")


def test_adaptation_is_not_sharded(tmp_path: Path) -> None:
    """The error reaches the person at the command line."""
    fragments = [f"--config={ROOT / 'configs' / name}" for name in ("tasks/rte.yaml", "strategies/full.yaml")]
    words = ["adapt", "fit", *fragments, f"--model.backbone.source={ROOT / 'configs/backbones/microworld_bert'}"]
    words += ["--data.source=microworld", "--trainer.strategy=fully_sharded", "--trainer.devices=1"]
    command = [sys.executable, "-m", "lm_lab", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "fully_sharded is for pretraining; adapt with --trainer.strategy ddp." in done.stderr


def adapt_in_two(words: list[str]) -> str:
    words = [sys.executable, "-m", "lm_lab", "adapt", *words, "--trainer.devices=2", "--trainer.strategy=ddp"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("of_text", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_two_processes_evaluate_and_predict_every_row_once(
    here: Callable[..., int],
    folders: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    of_text: bool,
) -> None:
    """Nine texts in batches of two; two to validate on, so that one process has no batch of them."""
    for split, rows in (("train", 16), ("validation", 2), ("test", 9)):
        lines = [f"{'the ' * (1 + i % 5)}text {i},{'no' if i % 3 else 'yes'}" for i in range(rows)]
        Path(f"{split}.csv").write_text("\n".join(["sentence,label", *lines]) + "\n")
    Path("mine.txt").write_text("".join(f"text {i}\n" for i in range(9)))
    common = ["--trainer.accelerator=cpu", f"--trainer.default_root_dir={tmp_path / 'run'}"]
    settings = ["--model.strategy=BitFit", "--data=OwnTexts", "--data.name=own", f"--data.source={tmp_path}"]
    fit = [f"--model.backbone.source={folders['bert']}", *settings, "--data.batch_size=4", "--trainer.max_epochs=1"]
    adapt_in_two(["fit", *fit, *common])
    delta = next(tmp_path.glob("run/**/delta"))
    of = "--text=mine.txt" if of_text else f"--data.source={tmp_path}"
    predict = ["predict", f"--delta={delta}", of, "--data.eval_batch_size=2", *common]
    said = adapt_in_two(predict)
    assert here(["adapt", *predict]) == 0
    alone = capsys.readouterr().out
    if of_text:
        shown = [line for line in alone.splitlines() if "\t" in line]
        assert [line for line in said.splitlines() if "\t" in line] == shown
        assert [line.split("\t")[-1] for line in shown] == [f"text {i}" for i in range(9)]
        return
    of_two, of_one = (Path(text.split("predictions: ")[1].split("\n")[0]) for text in (said, alone))
    assert of_two != of_one
    assert len(of_one.read_text().splitlines()) == 10
    assert of_two.read_text() == of_one.read_text()


@pytest.mark.parametrize("command", ["adapt", "pretrain"])
def test_the_group_is_taken_apart(
    here: Callable[..., int], folders: dict[str, Path], tmp_path: Path, command: str
) -> None:
    """Threads of a group that is left to the end of the interpreter may end the process by a signal."""
    words = {
        "adapt": ["--model.strategy=BitFit", "--data=GLUE", "--data.task=sst2", "--data.source=microworld"],
        "pretrain": [f"--config={ROOT / 'configs/pretraining/microworld_causal_lm.yaml'}", f"--save.output={tmp_path}"],
    }[command]
    kind = {"adapt": "bert", "pretrain": "gpt2"}[command]
    common = [f"--model.backbone.source={folders[kind]}", "--trainer.accelerator=cpu", "--trainer.logger=false"]
    group = [
        "--trainer.num_sanity_val_steps=0",
        "--trainer.enable_progress_bar=false",
        "--trainer.devices=1",
        "--trainer.strategy=ddp",
        "--trainer.max_steps=1",
        "--trainer.max_epochs=-1",
    ]
    assert here([command, "fit", *words, *common, *group, f"--trainer.default_root_dir={tmp_path}"]) == 0
    assert not torch.distributed.is_initialized()


def test_standard_input_is_of_one_process(
    here: Callable[..., int], folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--trainer.accelerator=cpu", "--trainer.logger=false", f"--trainer.default_root_dir={tmp_path}"]
    data = [
        "--data=GLUE",
        "--data.task=sst2",
        "--data.source=microworld",
        "--data.train_limit=16",
        "--data.validation_limit=8",
    ]
    fit = [f"--model.backbone.source={folders['bert']}", "--model.strategy=BitFit", *data, "--trainer.max_steps=1"]
    assert here(["adapt", "fit", *fit, *common]) == 0
    two = ["--trainer.devices=2", "--trainer.strategy=ddp"]
    assert here(["adapt", "predict", f"--delta={tmp_path}/delta", "--text=-", *two, *common]) == 2
    assert "--text - is standard input, which 2 processes cannot all read" in capsys.readouterr().err

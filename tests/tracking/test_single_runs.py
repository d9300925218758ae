"""What `adapt fit` and `pretrain fit` say to a logger: settings, names, curves, lineage."""

import csv
import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from offline_runs import config, curves, logged, of_kind, summary

from lm_lab.cli import main
from lm_lab.config.imports import restrict
from lm_lab.errors import UsageError
from lm_lab.strategies import LoRA
from lm_lab.tracking.trackio import Trackio

ROOT = Path(__file__).parents[2]
TRACKING = ROOT / "configs" / "tracking"
CURVES = {"train/loss", "train/learning_rate", "train/gradient_norm", "memory/peak_bytes", "speed/examples_per_second"}
Fit = Callable[..., int]


@pytest.fixture
def fit(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Fit]:
    monkeypatch.setattr("sys.argv", ["lm-lab"])
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    for part in ("DATA", "CACHE"):
        monkeypatch.setenv(f"WANDB_{part}_DIR", str(tmp_path / part))
    words = [
        "adapt", "fit", f"--model.backbone.source={folders['bert']}", "--model.strategy=LoRA", "--data=GLUE",
        "--data.task=sst2", "--data.source=microworld", "--data.train_limit=128", "--data.validation_limit=16",
        "--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--trainer.log_every_n_steps=1",
    ]  # fmt: skip
    yield lambda *more: main([*words, *more])
    restrict()


def test_a_fit_in_wandb_says_what_it_was(fit: Fit) -> None:
    assert fit(f"--config={TRACKING / 'wandb.yaml'}") == 0
    lines = logged(Path("runs/wandb"))
    (run,) = of_kind(lines, "run")[:1]
    assert run["display_name"] == "sst2-bert-lora-rank8-seed0"
    assert (run["run_group"], run["job_type"], run["tags"]) == ("sst2", "LoRA", ["bert", "sst2"])
    known = config(lines)
    assert known["model"]["learning_rate"] == LoRA.learning_rate
    assert known["model"]["optimizer"]["class_path"].endswith("AdamW")
    assert known["model"]["scheduler"]["init_args"] == {"warmup": 0.1}
    assert (known["model"]["pooling"], known["model"]["head"]) == ("cls", "linear")
    assert known["trainer"]["precision"] == "32-true"
    assert (known["strategy"], known["task"], known["backbone"]) == ("LoRA", "sst2", "bert")
    assert known["ledger"]["trained"] < known["ledger"]["total"]
    assert len(known["fingerprints"]["data"]) == len(known["fingerprints"]["weights"]) == 16
    found = curves(lines)
    assert set(found) >= CURVES | {"validation/accuracy"}
    assert len(found["train/learning_rate"]) == len(found["train/loss"]) == 4
    assert max(found["train/learning_rate"]) == LoRA.learning_rate
    assert of_kind(lines, "exit")[0].get("exit_code", 0) == 0


def test_a_fit_in_wandb_has_a_lineage(fit: Fit) -> None:
    assert fit(f"--config={TRACKING / 'wandb.yaml'}") == 0
    lines = logged(Path("runs/wandb"))
    data, model = of_kind(lines, "artifact")
    assert (data["type"], data["name"], data["use_after_commit"]) == ("dataset", "data-sst2", True)
    assert json.loads(data["metadata"])["data"] == config(lines)["fingerprints"]["data"]
    assert (model["type"], model["name"]) == ("model", "model-sst2-bert-lora-rank8-seed0")
    assert {file["path"] for file in model["manifest"]["contents"]} >= {"adaptation.json", "delta.safetensors"}
    about = json.loads(model["metadata"])
    assert about["strategy"] == "LoRA"
    assert about["validation/accuracy"] == pytest.approx(summary(lines)["validation/accuracy"])


def test_a_fit_in_wandb_shows_predictions_of_the_weights_that_it_saved(fit: Fit) -> None:
    words = ["--trainer.max_epochs=3", "--data.holdout=32", f"--config={ROOT / 'configs/trainer/best.yaml'}"]
    assert fit(f"--config={TRACKING / 'wandb.yaml'}", *words, "--trainer.logger.init_args.predictions=16") == 0
    (path,) = Path("runs/wandb").rglob("*.table.json")
    content = json.loads(path.read_text())
    assert content["columns"] == ["split", "id", "prediction", "label"]
    assert [row[0] for row in content["data"]] == ["selection"] * 16 + ["validation"] * 16
    right = [prediction == label for *_, prediction, label in content["data"][16:]]  # all of the split
    assert sum(right) / len(right) == pytest.approx(summary(logged(Path("runs/wandb")))["validation/accuracy"])


def test_a_negative_number_of_predictions_is_refused(fit: Fit, capfd: pytest.CaptureFixture[str]) -> None:
    assert fit(f"--config={TRACKING / 'wandb.yaml'}", "--trainer.logger.init_args.predictions=-1") == 2
    assert "predictions: -1 of the logger: expected 0 or more examples" in capfd.readouterr().err


def test_what_the_user_names_stays(fit: Fit) -> None:
    own = ["name=mine", "group=ours", "job_type=trial", "tags=[a,b]"]
    logger = "--trainer.logger"
    assert fit(f"--config={TRACKING / 'wandb.yaml'}", *(f"{logger}.init_args.{word}" for word in own)) == 0
    (run,) = of_kind(logged(Path("runs/wandb")), "run")[:1]
    assert (run["display_name"], run["run_group"], run["job_type"], run["tags"]) == (
        "mine", "ours", "trial", ["a", "b"],
    )  # fmt: skip


def test_neither_machine_nor_home_is_named(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", os.getcwd())
    assert fit(f"--config={TRACKING / 'wandb.yaml'}", f"--trainer.default_root_dir={Path.cwd() / 'mine'}") == 0
    lines = logged(Path("runs/wandb"))
    assert config(lines)["trainer"]["default_root_dir"] == "~/mine"
    assert of_kind(lines, "run")[0].get("host", "") == ""


def test_a_mix_of_layers_has_curves(fit: Fit) -> None:
    assert fit(f"--config={TRACKING / 'wandb.yaml'}", "--model.strategy=WeightedFeatures") == 0
    assert {"mix/layer_0", "mix/layer_2"} <= set(curves(logged(Path("runs/wandb"))))


def test_a_fit_that_fails_is_a_run_that_failed(fit: Fit) -> None:
    diverges = "--model.learning_rate=1e30"
    assert fit(f"--config={TRACKING / 'wandb.yaml'}", diverges, "--trainer.gradient_clip_val=0") == 2
    assert of_kind(logged(Path("runs/wandb")), "exit")[0]["exit_code"] == 1


def test_pretraining_in_wandb_says_what_it_was(fit: Fit, folders: dict[str, Path]) -> None:
    words = [
        f"--config={ROOT / 'configs/pretraining/microworld_mlm.yaml'}", f"--model.backbone.source={folders['bert']}",
        "--data.documents=96", "--data.held_out=32", "--data.batch_size=16", "--trainer.precision=32-true",
        "--trainer.max_epochs=1", "--trainer.check_val_every_n_epoch=1", "--trainer.log_every_n_steps=2",
        "--save.output=out", f"--config={TRACKING / 'wandb.yaml'}",
    ]  # fmt: skip
    assert main(["pretrain", "fit", *words]) == 0
    lines = logged(Path("runs/wandb"))
    (run,) = of_kind(lines, "run")[:1]
    assert run["display_name"] == "microworld-bert-maskedlm-seed0"
    assert (run["run_group"], run["job_type"], run["tags"]) == ("microworld", "MaskedLM", ["bert", "microworld"])
    assert config(lines)["model"]["scheduler"]["class_path"].endswith("WarmupLinear")
    wanted = {"train/loss", "train/learning_rate", "train/gradient_norm", "speed/tokens_per_second", "val/loss"}
    assert wanted <= set(curves(lines))
    data, model = of_kind(lines, "artifact")
    assert data["name"] == "data-microworld"
    assert {"config.json", "model.safetensors", "pretraining.yaml"} <= {
        file["path"] for file in model["manifest"]["contents"]
    }


def test_csv_holds_settings_and_curves(fit: Fit) -> None:
    assert fit(f"--config={TRACKING / 'csv.yaml'}") == 0
    folder = Path("runs/csv/version_0")
    with open(folder / "metrics.csv") as file:
        assert set(next(csv.reader(file))) >= CURVES | {"validation/accuracy"}
    known = yaml.safe_load((folder / "hparams.yaml").read_text())
    assert known["model"]["learning_rate"] == LoRA.learning_rate
    assert known["ledger"]["trained"] > 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_holds_settings_and_curves(fit: Fit) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert fit(f"--config={TRACKING / 'tensorboard.yaml'}") == 0
    folder = Path("runs/tensorboard/version_0")
    events = EventAccumulator(str(folder))
    events.Reload()
    assert set(events.Tags()["scalars"]) >= CURVES | {"validation/accuracy"}
    assert yaml.safe_load((folder / "hparams.yaml").read_text())["strategy"] == "LoRA"


@pytest.mark.filterwarnings("ignore")
def test_mlflow_holds_settings_and_curves(fit: Fit) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    assert fit(f"--config={TRACKING / 'mlflow.yaml'}") == 0
    client = mlflow.tracking.MlflowClient("sqlite:///mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("lm_lab").experiment_id])
    assert set(run.data.metrics) >= CURVES | {"validation/accuracy"}
    assert float(run.data.params["model/learning_rate"]) == LoRA.learning_rate


def test_trackio_holds_settings_and_curves(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(Path("runs/trackio").absolute()))  # which it reads when it is imported
    pytest.importorskip("trackio", reason="trackio is not installed: pip install 'lm-lab[trackio]'")
    assert fit(f"--config={TRACKING / 'trackio.yaml'}") == 0
    with closing(sqlite3.connect("runs/trackio/lm_lab.db")) as database:
        rows = [json.loads(row) for (row,) in database.execute("select metrics from metrics order by step")]
        ((name, known),) = database.execute("select run_name, config from configs")
    assert name == "sst2-bert-lora-rank8-seed0"
    assert {key for row in rows for key in row} >= CURVES | {"validation/accuracy"}
    settings = json.loads(known)
    assert settings["model"]["learning_rate"] == LoRA.learning_rate
    assert settings["_Username"] is None


def test_without_trackio_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    monkeypatch.setenv("TRACKIO_DIR", "elsewhere")
    with pytest.raises(UsageError, match=r"pip install 'lm-lab\[trackio\]'"):
        Trackio()


def test_the_configuration_beside_a_run_has_what_it_used_and_trains_the_same(fit: Fit) -> None:
    assert fit() == 0
    folder = Path("runs/lightning_logs/version_0")
    known = yaml.safe_load((folder / "config.yaml").read_text())
    assert known["model"]["learning_rate"] == LoRA.learning_rate
    assert None not in [known["model"][name] for name in ("optimizer", "scheduler", "pooling", "head")]
    training = json.loads((folder / "delta/adaptation.json").read_text())["training"]
    assert training["optimizer"] == known["model"]["optimizer"] | {"init_args": training["optimizer"]["init_args"]}
    assert (training["learning_rate"], training["precision"]) == (LoRA.learning_rate, "32-true")
    assert main(["adapt", "fit", f"--config={folder / 'config.yaml'}"]) == 0
    tensors = [path.read_bytes() for path in sorted(Path("runs").rglob("delta.safetensors"))]
    assert len(tensors) == 2
    assert tensors[0] == tensors[1]


def test_the_configuration_beside_a_run_goes_on_from_its_checkpoint(fit: Fit) -> None:
    assert fit(f"--config={ROOT / 'configs/trainer/resumable.yaml'}", "--trainer.max_epochs=2") == 0
    checkpoint = next(Path().rglob("*.ckpt"))
    (config_file,) = Path().rglob("config.yaml")
    assert main(["adapt", "fit", f"--config={config_file}", f"--ckpt_path={checkpoint}"]) == 0


@pytest.mark.parametrize("path", sorted((ROOT / "configs/pretraining").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_pretraining_logs_somewhere(path: Path) -> None:
    assert (yaml.safe_load(path.read_text()).get("trainer") or {}).get("logger") is not False

"""`lm-lab` as a user types it: in this process, on tiny models and the microworld."""

import io
import json
import subprocess
import sys

import pytest
import yaml

from lm_lab.cli import COMMANDS, main
from lm_lab.config.imports import restrict


@pytest.fixture(autouse=True)
def unrestricted():
    yield
    restrict()


@pytest.fixture
def base(folders):
    return [
        f"--model.backbone.source={folders['bert']}", "--model.strategy=LoRA", "--model.strategy.rank=2",
        "--data=GLUE", "--data.task=rte", "--data.source=microworld", "--data.train_limit=64",
        "--data.validation_limit=40", "--trainer.max_epochs=1", "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false",
    ]  # fmt: skip


@pytest.fixture
def trained(base, tmp_path, capsys):
    assert main(["adapt", "fit", *base]) == 0
    assert "delta: runs/" in capsys.readouterr().out
    return next(tmp_path.glob("runs/**/delta"))


def test_help_is_instant_because_nothing_heavy_is_imported():
    code = (
        "import sys; from lm_lab.cli import main; main(['--help']); "
        "heavy = {'torch', 'transformers', 'lightning', 'numpy', 'wandb'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(command in done.stdout for command in ("adapt", "pretrain", "bench"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["xyzzy"], f"error: unknown command 'xyzzy'; the commands are: {', '.join(COMMANDS)}."),
        (["bench", "run", "nowhere.yaml", "--out", "x"], "error: the suite 'nowhere.yaml' cannot be read"),
        (["bench", "status", "nowhere"], "error: nowhere: no suite.json here"),
        (["adapt", "predict", "--delta", "nowhere"], "error: 'nowhere' holds no adaptation.json"),
        (["adapt", "predict", "--text", "x.txt"], "error: --text goes with `predict --delta DIR`"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(words, message, capsys):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert "Traceback" not in error


def test_a_mistake_inside_a_configuration_is_one_line_and_code_2(base, capsys):
    assert main(["adapt", "fit", *base, "--data.source=nowhere"]) == 2
    assert "error: the data source 'nowhere' is no folder" in capsys.readouterr().err


def test_validate_and_test_give_the_scores_of_the_fit(base, trained, capsys):
    data = ["--data.source=microworld", "--data.validation_limit=40"]
    for subcommand, limits in (("validate", data), ("test", data)):
        assert main(["adapt", subcommand, "--delta", str(trained), *limits, "--trainer.accelerator=cpu"]) == 0
        assert "validation/accuracy" in capsys.readouterr().out


def test_predict_writes_a_submission(trained, tmp_path, capsys):
    words = ["--delta", str(trained), "--data.source=microworld", "--data.predict=validation"]
    assert main(["adapt", "predict", *words, "--trainer.accelerator=cpu"]) == 0
    file = next(tmp_path.glob("runs/**/submission/*.tsv"))
    assert f"predictions: {file.relative_to(tmp_path)}" in capsys.readouterr().out
    lines = file.read_text().splitlines()
    assert lines[0] == "index\tprediction"
    assert {line.split("\t")[1] for line in lines[1:]} <= {"entailment", "not_entailment"}


def test_predict_on_a_users_text(trained, tmp_path, capsys, monkeypatch):
    text = "flukin flined the zlulo .\tflukin flined a beast .\nevery zlulo is a beast .\tflukin flined .\n"
    (tmp_path / "pairs.txt").write_text(text)
    assert main(["adapt", "predict", "--delta", str(trained), "--text", "pairs.txt", "--trainer.accelerator=cpu"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "entailment=" in line]
    assert len(lines) == 2
    assert all(line.split("\t")[0] in {"entailment", "not_entailment"} for line in lines)
    assert lines[1].endswith("every zlulo is a beast .\tflukin flined .")
    shares = [float(part.split("=")[1]) for part in lines[0].split("\t")[1].split()]
    assert sum(shares) == pytest.approx(1, abs=2e-3)
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert main(["adapt", "predict", "--delta", str(trained), "--text", "-", "--trainer.accelerator=cpu"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if "entailment=" in line] == lines


def test_a_line_with_one_text_is_named(trained, tmp_path, capsys):
    (tmp_path / "one.txt").write_text("a\tb\nalone\n")
    assert main(["adapt", "predict", "--delta", str(trained), "--text", "one.txt"]) == 2
    assert "one.txt, line 2: 1 texts, but this task needs 2 (sentence1, sentence2)" in capsys.readouterr().err


def test_the_delta_says_how_to_build_the_model(trained, folders):
    description = json.loads((trained / "adaptation.json").read_text())
    model = description["config"]["model"]
    assert model["strategy"]["class_path"].endswith("LoRA")
    assert model["strategy"]["init_args"]["rank"] == 2
    assert model["backbone"]["source"] == str(folders["bert"])


def test_print_config_and_short_names(base, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(["adapt", "fit", *base, "--print_config"])
    assert exit_info.value.code == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["model"]["strategy"]["class_path"].endswith("LoRA")
    assert config["data"]["init_args"]["task"] == "rte"


def test_print_config_says_what_nulls_come_to_and_starts_nothing(base, tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(["adapt", "fit", *base, "--print_config"])
    assert exit_info.value.code == 0
    text = capsys.readouterr().out
    config = yaml.safe_load(text)
    assert (config["model"]["pooling"], config["model"]["head"]) == ("cls", "linear")
    assert config["model"]["optimizer"]["class_path"].endswith("AdamW")
    assert config["trainer"]["precision"] == "32-true"
    assert not (tmp_path / "runs").exists()
    (tmp_path / "printed.yaml").write_text(text)
    with pytest.raises(SystemExit):
        main(["adapt", "fit", "--config", "printed.yaml", "--print_config"])
    assert yaml.safe_load(capsys.readouterr().out) == config


def test_print_config_without_a_model_is_a_form_to_fill_in(capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(["adapt", "fit", "--model.strategy=LoRA", "--print_config"])
    assert exit_info.value.code == 0
    shown = capsys.readouterr()
    model = yaml.safe_load(shown.out)["model"]
    assert model["strategy"]["init_args"]["rank"] == 8
    assert model["learning_rate"] is None
    assert shown.err.startswith("nulls stay, since this cannot be built yet: ")
    assert main(["adapt", "fit", "--modl", "3", "--print_config"]) == 2


def test_a_configuration_cannot_import_what_is_not_allowed(base, tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text("model:\n  optimizer:\n    class_path: os.system\n")
    assert main(["adapt", "fit", *base, "--config", "bad.yaml"]) == 2
    assert "os.system" in capsys.readouterr().err


def test_the_allowlist_is_extended_by_a_flag(base, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text(
        "import torch\nclass MySGD(torch.optim.SGD):\n"
        "    def __init__(self, params, lr: float, momentum: float = 0.5):\n"
        "        super().__init__(params, lr, momentum)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    words = ["adapt", "fit", *base, "--model.optimizer=mine.MySGD", "--trainer.fast_dev_run=1"]
    assert main(words) == 2
    capsys.readouterr()
    assert main([*words, "--allow-import", "mine"]) == 0


def test_an_mnli_model_predicts_glues_diagnostic_set(base, tmp_path, capsys):
    assert main(["adapt", "fit", *base, "--data.task=mnli"]) == 0
    trained = next(tmp_path.glob("runs/**/delta"))
    folder = tmp_path / "glue" / "diagnostic"
    folder.mkdir(parents=True)
    (folder / "diagnostic.tsv").write_text("index\tsentence1\tsentence2\n0\ta b\tc\n1\td\te\n")
    words = ["--data.task=ax", "--data.source=glue", "--trainer.accelerator=cpu"]
    assert main(["adapt", "predict", "--delta", str(trained), *words]) == 0
    lines = next(tmp_path.glob("runs/**/submission/AX.tsv")).read_text().splitlines()
    assert lines[0] == "index\tprediction"
    assert {line.split("\t")[1] for line in lines[1:]} <= {"entailment", "neutral", "contradiction"}


def test_another_optimiser_keeps_its_own_defaults(base, capsys):
    """eps is 1e-6 in BertAdam and 1e-8 in AdamW, the default."""
    with pytest.raises(SystemExit):
        main(
            ["adapt", "fit", *base, "--model.optimizer=BertAdam", "--model.scheduler=WarmupConstant", "--print_config"]
        )
    model = yaml.safe_load(capsys.readouterr().out)["model"]
    assert model["optimizer"]["init_args"]["eps"] == 1e-6
    assert model["scheduler"]["init_args"]["warmup"] == 0.0


def test_a_configuration_is_left_as_it_was(folders):
    """A combination nests classes in a list, which jsonargparse would turn into its own objects in place."""
    import copy

    from lm_lab.config.adapting import build
    from lm_lab.config.imports import restrict

    strategies = [{"class_path": "LoRA"}, {"class_path": "LayerNormTuning"}]
    config = {
        "model": {
            "backbone": {"source": str(folders["bert"])},
            "strategy": {"class_path": "lm_lab.strategies.Combination", "init_args": {"strategies": strategies}},
        },
        "data": {"class_path": "lm_lab.data.GLUE", "init_args": {"task": "rte", "source": "microworld"}},
        "trainer": {"logger": False, "accelerator": "cpu"},
    }
    before = copy.deepcopy(config)
    restrict()
    assert [type(part).__name__ for part in build(config, run=False).model.model.strategy.strategies] == [
        "LoRA",
        "LayerNormTuning",
    ]
    assert config == before

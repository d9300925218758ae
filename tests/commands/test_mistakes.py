"""Mistakes at the command line: one line that names the value, exit code 2, before anything is trained."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml

from lm_lab.cli import main
from lm_lab.config.imports import restrict

FIT = [
    "adapt", "fit", "--model.strategy=LoRA", "--data=GLUE", "--data.task=sst2", "--data.source=microworld",
    "--data.train_limit=32", "--data.validation_limit=8", "--trainer.max_epochs=1", "--trainer.accelerator=cpu",
    "--trainer.default_root_dir=run",
]  # fmt: skip


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, folders: dict[str, Path]) -> Iterator[Callable[..., int]]:
    monkeypatch.setattr("sys.argv", ["lm-lab"])
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    yield lambda *words: main([*FIT, f"--model.backbone.source={folders['bert']}", *words])
    restrict()


STOP = "--trainer.callbacks+=EarlyStopping"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seed_everything=-1"], "--seed_everything -1: expected a whole number from 0 to 4294967295"),
        (["--trainer.accelerator=gpu"], "--trainer.accelerator gpu: this machine has none"),
        (["--trainer.precision=16-mixed"], "--trainer.precision 16-mixed: fp16 needs a GPU"),
        (["--model.learning_rate=-1"], "learning_rate=-1"),
        (["--model.learning_rate=nan"], "learning_rate"),
        (["--model.strategy.rnk=8"], "LoRA has no setting 'rnk'; did you mean rank? ("),
        (["--model.strategy.colour=8"], "LoRA has no setting 'colour'; it has: rank, "),
        (["--model.strategy.rank=four"], "LoRA's setting 'rank': Expected a 'int'. Got value: four"),
        (["--model.strategy=LoRAA"], "--model.strategy LoRAA: there is no such class; did you mean LoRA? ("),
        (["--model.strategy=Nothing"], "there is no such class; the classes are: BitFit, "),
        (["--data=GLU"], "--data GLU: there is no such class; did you mean GLUE? ("),
        (["--data.task=sst"], "unknown task 'sst'; did you mean sst2?"),
        (["--data.tsk=sst2"], "GLUE has no setting 'tsk'; did you mean task? ("),
        (["--no.such.option=8"], "--no.such.option: there is no such option"),
        (["--trainr.max_epochs=8"], "--trainr.max_epochs: there is no such option; did you mean trainer.max_epochs? ("),
        (["--trainer.max_epohs=8"], "--trainer.max_epohs: there is no such option; did you mean trainer.max_epochs? ("),
        (
            ["--model.learning_rte=8"],
            "--model.learning_rte: there is no such option; did you mean model.learning_rate? (",
        ),
        (["--config=missing.yaml"], "'missing.yaml' is not there ("),
        (["--config=one/linaer.yaml"], "'one/linaer.yaml' is not there; did you mean one/linear.yaml? ("),
        (["--data.batch_size=many"], "GLUE's setting 'batch_size': Expected a 'int'. Got value: many"),
        (["--weights_only=false"], "would run code that a checkpoint holds"),
        ([STOP, "--trainer.callbacks.monitor=val/nothing"], "EarlyStopping monitors 'val/nothing', which nothing logs"),
        (["--trainer.default_root_dir=file/run"], "file"),
        (["--trainer.devices=0"], ""),
        (
            ["--trainer.val_check_interval=250"],
            "`val_check_interval` (250) must be less than or equal to the number of",
        ),
        (["--trainer.accelerator=c"], "Trainer cannot be built: ValueError: You selected an invalid accelerator"),
        (
            ["--trainer.accumulate_grad_batches=0"],
            "--trainer.accumulate_grad_batches 0: expected a whole number from 1",
        ),
        (["--trainer.check_val_every_n_epoch=-1"], "--trainer.check_val_every_n_epoch -1: expected a whole number"),
        (["--model.backbone.source=a b"], "'a b' is neither a folder on this disk nor a name of the hub"),
        (["--model.optimizer=BertAdam", "--model.optimizer.betas=[-1,2]"], "betas=(-1.0, 2.0) eps"),
        (["--model.optimizer=torch.optim.SGD", "--model.optimizer.momentum=-1"], "SGD cannot be built: ValueError"),
        (["--trainer.profiler=AdvancedProfiler", "--trainer.profiler.line_count_restriction=[]"], ""),
        (["--trainer.callbacks+=GradientAccumulationScheduler", "--trainer.callbacks.scheduling={x: 1}"], ""),
        (
            ["--trainer.callbacks+=BatchRamp", "--trainer.callbacks.over_steps=4"],
            "'BatchRamp' is called 'BatchSizeWarmup' now",
        ),
    ],
)
@pytest.mark.skipif(torch.accelerator.is_available(), reason="about machines without an accelerator")
def test_one_line_and_exit_code_2(
    here: Callable[..., int], capfd: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    Path("file").write_text("not a folder")
    Path("one").mkdir()
    Path("one/linear.yaml").write_text("{}")
    assert here(*words) == 2
    err = capfd.readouterr().err
    said = [line for line in err.splitlines() if line.startswith("error:")]
    assert len(said) == 1, err
    assert message in said[0]
    assert "usage:" not in err
    assert "Traceback" not in err
    assert not list(Path().glob("run/**/delta"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("adapt", 'expected "subcommand" to be one of {fit,validate,test,predict}'),
        ("adapt --text x", "--text goes with `predict --delta DIR`"),
        ("adapt fit --allow-import --allow-import 2", "--allow-import '--allow-import': expected the dotted name of a"),
        ("pretrain fit --allow-import", "--allow-import '': expected the dotted name of a package"),
        (
            "adapt fti",
            "subcommand 'fti': invalid choice; expected one of fit, validate, test, predict; did you mean fit?",
        ),
        ("adpt fit", "unknown command 'adpt'; did you mean adapt?"),
        (
            "adapt fit --data.task sst2",
            "--data.task: name the class of --data before its settings, such as --data GLUE",
        ),
        ("pretrain fit --model.objective MaskdLM", "MaskdLM: there is no such class; did you mean MaskedLM?"),
        ("pretrain", 'expected "subcommand" to be one of {fit}'),
        ("bench", "the following arguments are required: COMMAND (`lm-lab bench --help`"),
        ("bench run", "the following arguments are required: suite, --out (`lm-lab bench run --help`"),
        ("bench run x --out y --workers many", "argument --workers: invalid int value: 'many'"),
        ("probe --task sst2", "the following arguments are required: --backbone"),
        ("ledger", "the following arguments are required: backbone, strategy"),
        ("tokenizer --kind words", "argument --kind: invalid choice: 'words'"),
        ("export --x", "the following arguments are required: --delta, --out"),
        ("import --peft x --backbone y --task a --config b --out z", "--config: not allowed with argument --task"),
        ("doctor --backbone x --json=3", "argument --json: ignored explicit argument '3'"),
    ],
)
def test_one_line_for_the_arguments_of_every_command(
    here: Callable[..., int], capfd: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    assert main(words.split()) == 2
    (said,) = capfd.readouterr().err.splitlines()
    assert said.startswith("error:")
    assert message in said


def test_an_abstract_objective_is_one_line(here: Callable[..., int], capfd: pytest.CaptureFixture[str]) -> None:
    words = ["--model.backbone.source=new:bert-tiny", "--model.objective=lm_lab.objectives.base.Objective"]
    assert main(["pretrain", "fit", *words]) == 2
    assert "lm_lab.objectives.base.Objective is abstract" in capfd.readouterr().err


def test_a_loss_that_is_no_number_saves_nothing(here: Callable[..., int], capfd: pytest.CaptureFixture[str]) -> None:
    assert here("--model.learning_rate=1e30", "--trainer.max_epochs=3", "--trainer.gradient_clip_val=null") == 2
    assert "nothing was saved" in capfd.readouterr().err
    assert not list(Path().glob("run/**/delta"))


def test_only_the_command_line_lets_a_models_own_code_run(
    here: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    Path("strange.yaml").write_text(yaml.safe_dump({"model": {"backbone": {"trust_remote_code": True}}}))
    assert here("--config=strange.yaml") == 2
    assert "a configuration sets trust_remote_code" in capfd.readouterr().err
    assert here("--config=strange.yaml", "--model.backbone.trust_remote_code=true") == 0


def test_progress_is_plain_lines_where_there_is_no_terminal(
    here: Callable[..., int], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lm_lab.training.callbacks.progress.SECONDS", 0.0)
    monkeypatch.setattr("lm_lab.training.callbacks.progress.PlainProgress.__init__.__defaults__", (0.0,))
    assert here("--data.batch_size=4") == 0
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("epoch 1, step ")]
    assert len(lines) >= 3
    assert "step 5 of 8, loss " in "".join(lines)
    assert lines[-1].endswith(" left")


def test_a_few_lines_that_stand_for_a_billion_values(
    here: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    Path("bomb.yaml").write_text("\n".join(lines))
    assert here("--config=bomb.yaml") == 2
    assert "the configuration 'bomb.yaml' stands for more than 100,000 values" in capfd.readouterr().err


def test_a_delta_has_no_say_in_code_or_trainer(here: Callable[..., int], capfd: pytest.CaptureFixture[str]) -> None:
    assert here("--trainer.logger=false") == 0
    path = Path("run/delta/adaptation.json")
    whole = json.loads(path.read_text())
    predict = ["adapt", "validate", "--delta=run/delta", "--data.source=microworld", "--data.validation_limit=8"]
    predict += ["--trainer.accelerator=cpu", "--trainer.logger=false"]
    for where, value in (("backbone", {"trust_remote_code": True}), ("strategy", {"class_path": "os.system"})):
        wrong = json.loads(path.read_text())
        wrong["config"]["model"][where] |= value
        path.write_text(json.dumps(wrong))
        assert main(predict) == 2
        said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error:")]
        assert len(said) == 1
        path.write_text(json.dumps(whole))
    path.write_text(json.dumps(whole | {"config": whole["config"] | {"trainer": {"callbacks": ["os.system"]}}}))
    assert main(predict) == 0

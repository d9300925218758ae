"""What is wrong in a suite is found before anything runs, and told by the suite's entry."""

import json
from pathlib import Path
from typing import Any

import pytest
from suites import STRATEGIES, TASKS, write_suite

from lm_lab.benchmark.preflight import check_settings
from lm_lab.benchmark.suite import load_suite
from lm_lab.cli import main
from lm_lab.errors import UsageError


@pytest.fixture
def check(tmp_path: Path, folders: dict[str, Path]) -> Any:
    def checked(trust: bool = False, **changes: Any) -> None:
        check_settings(load_suite(write_suite(tmp_path / "suite.yaml", folders["bert"], **changes)), trust)

    return checked


def strategy(**entry: Any) -> dict[str, Any]:
    return {"strategies": {"s": {"class_path": "LoRA"} | entry}}


def data(**entry: Any) -> dict[str, Any]:
    return {"tasks": {"t": {"data": {"task": "sst2", "source": "microworld"} | entry}}}


def test_a_sound_suite_passes_and_nothing_is_loaded(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.AutoModel.from_pretrained", lambda *_, **__: pytest.fail("weights were read"))
    check()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (strategy(init_args={"rnk": 8}), "strategy 's', backbone 'tiny': .*Option 'rnk' is not accepted"),
        (strategy(knob="rnk", sizes=[4]), "strategy 's', rnk=4, backbone 'tiny': .*Option 'rnk' is not accepted"),
        (strategy(init_args={"rank": "many"}), "strategy 's', backbone 'tiny': .*many"),
        (strategy(class_path="Lora"), "strategy 's', backbone 'tiny': .*Lora"),
        (strategy(class_path="os.system"), "Importing 'os.system' is not allowed"),
        (strategy(model={"optimizer": "os.system"}), "Importing 'os.system' is not allowed"),
        (strategy(model={"poling": "mean"}), "does not accept option 'poling'"),
        (strategy(model={"pooling": "meen"}), "strategy 's', backbone 'tiny': .*meen"),
        (strategy(tune={"learning_rate": [0.1, "fast"]}), "strategy 's', learning_rate=fast, backbone 'tiny': .*fast"),
        (strategy(trainer={"max_epoch": 1}), "does not accept option 'max_epoch'"),
        (strategy(trainer={"accelerator": "gpus"}), "strategy 's', backbone 'tiny': .*gpus"),
        (strategy(trainer={"precision": "16-mixed", "accelerator": "cpu"}), "fp16 needs a GPU"),
        (strategy(trainer={"callbacks": [{"class_path": "os.system"}]}), "Importing 'os.system' is not allowed"),
        (
            strategy(class_path="PartialFineTuning", init_args={"blocks": 9}),
            "strategy 's', backbone 'tiny', task 'sentiment': blocks=9: this backbone has 2 blocks",
        ),
        (data(task="sst3"), "task 't': .*sst3"),
        (data(bach_size=3), "task 't': .*bach_size"),
        (data(class_path="os.system"), "task 't': .*Importing 'os.system' is not allowed"),
        ({"backbones": {"b": {"backbone": {"source": "/nowhere"}}}}, "backbone 'b'.*'/nowhere' does not exist"),
    ],
)
def test_what_cannot_be_built_is_named_in_one_line(check: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as found:
        check(**changes)
    assert str(found.value).startswith("the suite 'small', ")
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"backbones": {"b": {"backbone": {"source": "x", "trust_remote_code": True}}}},
        strategy(tune={"model.backbone.trust_remote_code": [True]}),
    ],
)
def test_no_suite_may_allow_code_that_comes_with_weights(check: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"trust_remote_code runs code .* say --trust-remote-code"):
        check(**changes)


def test_the_command_line_may(check: Any, folders: dict[str, Path]) -> None:
    source = {"source": str(folders["bert"]), "trust_remote_code": True}
    check(trust=True, backbones={"b": {"backbone": source}})


@pytest.mark.parametrize("workers", ["0", "2"])
def test_nothing_runs_or_is_written_before_it(
    tmp_path: Path, folders: dict[str, Path], capsys: pytest.CaptureFixture[str], workers: str
) -> None:
    suite = write_suite(tmp_path / "s.yaml", folders["bert"], **strategy(init_args={"rnk": 8}))
    assert main(["bench", "run", str(suite), "--out", "out", "--workers", workers]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("error: the suite 'small', strategy 's'")
    assert shown.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_short_names_of_data_modules_work_as_in_adapt(tmp_path: Path, folders: dict[str, Path]) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    for name in ("train", "validation"):
        rows = [{"sentence": f"w{i}", "label": "yes" if i % 2 else "no"} for i in range(40)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = {"mine": {"data": {"class_path": "OwnTexts", "name": "own", "source": str(folder), "holdout": 8}}}
    suite = write_suite(tmp_path / "s.yaml", folders["bert"], tasks=tasks, strategies={"full": STRATEGIES["full"]})
    assert TASKS.keys() != tasks.keys()
    assert main(["bench", "run", str(suite), "--out", "out", "--workers", "0"]) == 0

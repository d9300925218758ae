"""`benchmarks/objectives.py`: one budget of tokens for every objective, and what came of each gathered."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*set_vital.*"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec.*"),
]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script, with a small corpus and a folder of the test's own."""
    spec = importlib.util.spec_from_file_location("objectives", ROOT / "benchmarks/objectives.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "objectives", module)  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    small = replace(module.CORPORA["microworld"], out=tmp_path / "out", options=("--data.documents=1300",))
    monkeypatch.setitem(module.CORPORA, "microworld", small)
    monkeypatch.chdir(ROOT)  # paths of the configurations start there
    return module


def run(script: ModuleType, monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    monkeypatch.setattr(sys, "argv", ["objectives.py", "microworld", *options, "--workers", "1"])
    script.main()


def test_every_objective_reads_as_many_tokens_and_is_trained_once(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(script, monkeypatch, "--epochs", "2", "--only", "mlm", "bert_nsp")
    facts = json.loads((tmp_path / "out/pretraining.json").read_text())
    assert set(facts) == {"mlm", "bert_nsp"}
    assert facts["bert_nsp"]["tokens"] == pytest.approx(facts["mlm"]["tokens"], rel=0.2)  # to half a step
    assert facts["mlm"]["steps"] == 6  # two epochs of 300 documents in batches of 128
    assert facts["bert_nsp"]["steps"] != facts["mlm"]["steps"]  # its rows are pairs
    for of in facts.values():
        assert 1 < of["val/unigram"] < 10
        assert of["val/loss"] > 0
    capsys.readouterr()
    run(script, monkeypatch, "--epochs", "2", "--only", "mlm", "bert_nsp")
    assert "steps" not in capsys.readouterr().out  # both are there


def test_text_or_a_vocabulary_that_is_not_there_is_told_in_one_line(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LM_LAB_DATA", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["objectives.py", "novels"])
    assert script.exit_code(script.main) == 2
    said = capsys.readouterr().err
    assert said.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in said
    assert "usage" not in said


def test_suites_name_what_the_script_pretrains(script: ModuleType) -> None:
    for suite in ("objectives", "objectives_novels"):
        text = (ROOT / f"benchmarks/{suite}.yaml").read_text()
        named = {name for name in script.FAMILY if f"source: runs/{suite}/{name}}}" in text}
        assert named == set(script.FAMILY)

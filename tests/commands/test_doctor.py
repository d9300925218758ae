"""`lm-lab doctor`: the matrix, the JSON and the exit code."""

import json

import pytest

from lm_lab.cli import main
from lm_lab.doctor.checks import CHECKS
from lm_lab.doctor.matrix import compatibility, matrix
from lm_lab.strategies import LoRA


def test_one_strategy_in_words_and_as_json(folders, capsys):
    args = ["doctor", "--backbone", str(folders["bert"]), "--strategy", "LoRA", "--strategy.rank", "2"]
    assert main(args) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[1].split() == ["LoRA", *["ok"] * len(CHECKS)]
    assert "padding changes nothing" in shown
    assert main([*args, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {tuple(row) for row in rows} == {("strategy", "family", "check", "ok", "detail")}
    assert [row["check"] for row in rows] == ["applies", *CHECKS]
    assert all(row["ok"] and row["family"] == "bert" for row in rows)


def test_a_broken_promise_is_told_and_ends_with_1(folders, capsys, monkeypatch):
    monkeypatch.setattr(LoRA, "parameters", lambda self, backbone: 7)
    assert main(["doctor", "--backbone", str(folders["bert"]), "--strategy", "LoRA"]) == 1
    shown = capsys.readouterr().out
    assert "FAILS" in shown
    assert "LoRA, count is the formula: 1,024 train, the formula says 7" in shown.replace("2,048", "1,024")


def test_a_refusal_is_told_and_ends_with_0(folders, capsys):
    assert main(["doctor", "--backbone", str(folders["llama"]), "--strategy", "BitFit"]) == 0
    assert "BitFit has nothing to train in this llama" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--strategy", "Lora"], ["--backbone", "./nowhere"]])
def test_mistakes_end_with_2(folders, capsys, words):
    assert main(["doctor", "--backbone", str(folders["bert"]), *words]) == 2
    assert words[1] in capsys.readouterr().err


def test_tables_of_several_families(make):
    from lm_lab.doctor.examine import examine
    from lm_lab.strategies import BitFit

    results = [row for family in ("bert", "llama") for row in examine(make(family), "BitFit", BitFit())]
    assert compatibility(results).splitlines() == ["| | bert | llama |", "|---|---|---|", "| BitFit | yes | – |"]
    assert "refused" in matrix(results[-1:])

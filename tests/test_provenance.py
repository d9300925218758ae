"""What is written beside a figure can be used to measure it again."""

import shlex

import pytest

from lm_lab import provenance


@pytest.mark.parametrize("program", ["/somewhere/bin/lm-lab", "/somewhere/lm_lab/__main__.py"])
def test_a_shell_reads_the_command_as_it_was_given(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["pretrain", "fit", "--data.starts= = [^=]", "--data.source=my 'own' text.txt", "--data.documents=null"]
    monkeypatch.setattr("sys.argv", [program, *words])
    assert shlex.split(provenance.command()) == ["lm-lab", *words]


def test_a_commit_says_whether_files_differ_from_it() -> None:
    assert provenance.commit({"commit": "abc", "dirty": False}) == "abc"
    assert provenance.commit({"commit": "abc", "dirty": True}) == "abc with uncommitted changes"
    assert provenance.commit({"commit": None, "dirty": None}) == "no git commit"

"""Help is built once, and then shown from a file."""

import os
from pathlib import Path

import pytest

from lm_lab.cli import main
from lm_lab.commands.cached_help import with_cached_help


class Command:
    """Prints, as a parser that shows its help, and counts."""

    def __init__(self, code: int = 0) -> None:
        self.code, self.runs = code, 0

    def __call__(self) -> int:
        self.runs += 1
        print(f"help {self.runs}")
        raise SystemExit(self.code)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.mark.parametrize("word", ["--help", "-h", "--model.strategy.help=LoRA"])
def test_the_second_time_nothing_is_built(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = Command()
    assert [with_cached_help(command, ["adapt", "fit", word]) for _ in range(2)] == [0, 0]
    assert command.runs == 1
    assert capsys.readouterr().out == "help 1\nhelp 1\n"


def test_other_words_and_widths_are_other_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    command = Command()
    for words, width in ((["adapt", "--help"], "80"), (["pretrain", "--help"], "80"), (["adapt", "--help"], "100")):
        monkeypatch.setenv("COLUMNS", width)
        with_cached_help(command, words)
    assert command.runs == 3


def test_files_of_settings_and_foreign_code_are_read_anew() -> None:
    command = Command()
    for option in ("--config=a.yaml", "--allow-import"):
        for _ in range(2):
            with pytest.raises(SystemExit):
                with_cached_help(command, ["adapt", "fit", option, "--help"])
    assert command.runs == 4


def test_a_mistake_is_not_kept() -> None:
    command = Command(code=2)
    assert [with_cached_help(command, ["adapt", "--help"]) for _ in range(2)] == [2, 2]
    assert command.runs == 2


def test_a_folder_that_takes_no_files_costs_nothing_but_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)
    assert with_cached_help(Command(), ["adapt", "--help"]) == 0


def test_the_commands_use_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["bench", "run", "--help"]) == 0
    first = capsys.readouterr().out
    (kept,) = tmp_path.glob("lm_lab/help/*.txt")
    kept.write_text("as it was kept\n")
    assert "--workers" in first
    assert main(["bench", "run", "--help"]) == 0
    assert capsys.readouterr().out == "as it was kept\n"

"""What a shell offers, by the script that it would read."""

import subprocess
from pathlib import Path
from shutil import which

import pytest
import shtab

from lm_lab.cli import main
from lm_lab.commands import COMMANDS
from lm_lab.commands.completion import every_command

COMPLETE = 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shtab_lm_lab; printf "%s\\n" "${COMPREPLY[@]}"'


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bash's."""
    path = tmp_path_factory.mktemp("completion") / "lm-lab.bash"
    path.write_text(shtab.complete(every_command(), "bash"))
    return path


@pytest.mark.skipif(which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([""], set(COMMANDS)),
        (["adapt", ""], {"fit", "validate", "test", "predict"}),
        (["adapt", "fit", "--model.strategy", "Lo"], {"LoRA"}),
        (["adapt", "fit", "--model.strategy", "LoRA", "--model.strategy.rank"],
         {"--model.strategy.rank", "--model.strategy.rank_stabilised"}),
        (["adapt", "fit", "--data", "Own"], {"OwnTexts"}),
        (["adapt", "fit", "--data.train_l"], {"--data.train_limit"}),
        (["adapt", "fit", "--model.pooling", "m"], {"mean", "max"}),
        (["adapt", "fit", "--trainer.callbacks", "EarlySt"], {"EarlyStopping"}),
        (["adapt", "fit", "--model.optimizer", "Bert"], {"BertAdam"}),
        (["adapt", "fit", "--config", "CONTR"], {"CONTRIBUTING.md"}),
        (["pretrain", "fit", "--model.objective", "Span"], {"SpanBERT", "SpanCorruption"}),
        (["ledger", "--strategy", "Dor"], set()),
        (["ledger", "--strategy", "Do"], {"DoRA"}),
        (["bench", "run", "--wandb", ""], {"offline", "online", "disabled"}),
        (["words", "fit", "--model", "sk"], {"skip_gram"}),
        (["completion", ""], set(shtab.SUPPORTED_SHELLS)),
    ],
    ids=lambda value: " ".join(value if isinstance(value, list) else sorted(value)),
)  # fmt: skip
def test_bash_offers(script: Path, words: list[str], expected: set[str]) -> None:
    command = ["bash", "-c", f"source {script}; {COMPLETE}", "bash", "lm-lab", *words]
    root = Path(__file__).parents[2]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, timeout=60)
    assert set(found.stdout.split()) == expected
    assert not found.stderr


def test_a_script_is_small_enough_to_read_at_every_start(script: Path) -> None:
    assert len(script.read_bytes()) < 200_000


def test_another_shell_is_refused_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "ksh"]) == 2
    assert "invalid choice: 'ksh'" in capsys.readouterr().err

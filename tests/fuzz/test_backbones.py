"""Folders of backbones with anything changed are loaded, or refused in one line, by every command that takes one."""

import json
import shutil
from pathlib import Path

import pytest
from configurations import ADAPT, at_home
from endings import ends
from hypothesis import given
from hypothesis import strategies as st
from mutations import damaged, mutated
from slow import EXAMPLES
from suites import write_suite

pytestmark = pytest.mark.filterwarnings("ignore")
WORDS = {
    "ledger": "ledger --backbone mutant --strategy LoRA --length 16",
    "doctor": "doctor --backbone mutant --strategy LayerNormTuning",
    "adapt": "adapt fit --config adapt.yaml",
    "bench": "bench run suite.yaml --out results --workers 0 --wandb disabled",
}
CODES = {"bench": (0, 1, 2), "doctor": (0, 1, 2)}  # 1: a cell failed, a promise is not kept
SMALL = {
    "model": {"pooling": "mean"},
    "data": {"train_limit": 8, "validation_limit": 4, "batch_size": 4, "max_length": 16},
    "trainer": {"max_epochs": 1, "max_steps": 1, "accelerator": "cpu"},
}


def spoil(source: Path, data: st.DataObject) -> None:
    """A copy of a backbone in `mutant`, with one of its files changed or gone."""
    folder = Path("mutant")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    how = data.draw(st.sampled_from(["content", "content", "bytes", "gone"]))
    if how == "gone":
        path.unlink()
    elif how == "content" and path.suffix == ".json":
        path.write_text(json.dumps(mutated(json.loads(path.read_text()), data)))
    else:
        path.write_bytes(damaged(path.read_bytes(), data))


@EXAMPLES
@pytest.mark.parametrize("command", WORDS)
@given(data=st.data())
def test_backbones_with_anything_changed(
    command: str,
    folders: dict[str, Path],
    quietly: None,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    data: st.DataObject,
) -> None:
    monkeypatch.setattr("plotly.offline.get_plotlyjs", lambda: "")
    spoil(folders[data.draw(st.sampled_from(["bert", "gpt2", "t5", "deberta-v2", "reformer"]))], data)
    Path("adapt.yaml").write_text(json.dumps(at_home(ADAPT, Path("mutant"))))
    shutil.rmtree("results", ignore_errors=True)
    strategies = {"norms": {"class_path": "LayerNormTuning"}}
    write_suite(Path("suite.yaml"), Path("mutant"), seeds=[0], defaults=SMALL, strategies=strategies)
    ends(WORDS[command].split(), capfd, CODES.get(command, (0, 2)))

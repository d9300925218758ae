"""Whoever the umask lets read new files may read all that commands write: people share results."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from suites import write_suite

from lm_lab.cli import main
from lm_lab.config.imports import restrict

FIT = [
    *("adapt", "fit", "--model.strategy=LoRA", "--data=GLUE", "--data.task=sst2", "--data.source=microworld"),
    *("--data.train_limit=32", "--data.validation_limit=8", "--trainer.max_epochs=1", "--trainer.accelerator=cpu"),
]
PRETRAIN = [
    *("pretrain", "fit", f"--config={Path(__file__).parents[2] / 'configs/pretraining/microworld_mlm.yaml'}"),
    *("--data.documents=64", "--data.held_out=16", "--trainer.precision=32-true", "--trainer.max_epochs=1"),
    *("--trainer.check_val_every_n_epoch=1", "--save.output=pretrained"),
]


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("sys.argv", ["lm-lab"])  # Lightning warns if pytest's own arguments are there too
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    before = os.umask(0o027)
    yield
    os.umask(before)
    restrict()


def test_every_file_has_the_mode_of_a_new_one(folders: dict[str, Path], group: None) -> None:
    assert main([*FIT, f"--model.backbone.source={folders['bert']}", "--trainer.default_root_dir=runs"]) == 0
    (folder,) = (path.parent for path in Path("runs").rglob("adaptation.json"))
    for command in (["merge", "--out=merged"], ["merge", "--bare", "--out=bare"], ["export", "--out=adapter"]):
        assert main([*command, f"--delta={folder}"]) == 0
    lora = {"lora": {"class_path": "LoRA", "sizes": [2], "knob": "rank"}, "probe": {"class_path": "LinearProbe"}}
    suite = write_suite(Path("suite.yaml"), folders["bert"], strategies=lora, seeds=[0])
    assert main(["bench", "run", str(suite), "--out=results", "--workers=0"]) == 0
    assert main([*PRETRAIN, f"--model.backbone.source={folders['bert']}"]) == 0
    ours = [path for path in Path().rglob("*") if path.is_file() and "wandb" not in path.parts]  # it has its own ways
    modes = {str(path): oct(path.stat().st_mode & 0o777) for path in ours}
    assert len(modes) > 40
    assert {path: mode for path, mode in modes.items() if mode != "0o640"} == {}

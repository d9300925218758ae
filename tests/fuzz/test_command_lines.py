"""Strange words after any command end in what it does, or in one line and exit code 2."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from configurations import ADAPT, PRETRAIN, at_home
from endings import ends
from fake_results import at, records, suite
from hypothesis import given
from hypothesis import strategies as st
from mutations import ALIKE, JUNK, places
from slow import EXAMPLES
from suites import write_suite

from lm_lab import AdaptedModel
from lm_lab.backbones import TransformersBackbone
from lm_lab.interchange.peft_write import export
from lm_lab.models import delta
from lm_lab.results.records import save_baselines, write_record
from lm_lab.strategies import LoRA
from lm_lab.tasks import glue_task

pytestmark = pytest.mark.filterwarnings("ignore")
COMMANDS = {
    "adapt": "adapt fit --config adapt.yaml --model.strategy.rank 2 --seed_everything 1",
    "validate": "adapt validate --config adapt.yaml --data.batch_size 4 --trainer.limit_val_batches 1",
    "predict": "adapt predict --delta delta --text lines.txt --trainer.accelerator cpu --trainer.logger false",
    "pretrain": "pretrain fit --config pretrain.yaml --model.objective MaskedLM --trainer.max_steps 1",
    "run": "bench run suite.yaml --out results --workers 0 --threads 1 --cell-timeout 50 --project p --wandb disabled",
    "status": "bench status results",
    "report": "bench report results --to page",
    "probe": "probe --backbone bert --task sst2 --source microworld --limit 20 --max-length 16 --no-random --json",
    "ledger": "ledger --backbone bert --strategy LoRA --strategy.rank 2 --task sst2 --serve 3 --length 16 --json",
    "tokenizer": "tokenizer --kind wordpiece --source lines.txt --out vocabulary --vocab_size 60 --min_frequency 1",
    "export": "export --delta delta --out adapter --allow-import x",
    "merge": "merge --delta delta --out merged --bare",
    "import": "import --peft peft --backbone bert --task mrpc --pooling cls --pairs cross_encoder --out imported",
    "own": "import --peft peft --backbone bert --config data.yaml --fresh-head --out imported",
    "doctor": "doctor --backbone bert --strategy LayerNormTuning --json",
}
MAY_FAIL = {"run", "doctor"}  # 1: a cell failed, a promise is not kept
FLAGS = [
    "--help", "-h", "--config", "-c", "--out", "--x", "--trainer.x=1", "--trainer.", "--model", "--data=GLUE",
    "--data.x+=1", "--trainer.callbacks+=EarlyStopping", "--trainer={}", "--model.strategy=LoRA", "--print_config",
    "--fresh", "--resume-changed", "--allow-import", "--delta", "--text=-", "--ckpt_path=last", "--", "-", "=", "--=",
    "--trainer.logger=true", "--seed_everything=true", "--model.strategy.help", "--data.help=GLUE", "@x", "{", "[]",
]  # fmt: skip


@pytest.fixture(scope="module")
def made(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all that the commands read."""
    root = tmp_path_factory.mktemp("made")
    shutil.copytree(folders["bert"], root / "bert")
    model = AdaptedModel(TransformersBackbone(str(folders["bert"])), LoRA(rank=2), glue_task("mrpc"))
    delta.save(model, root / "delta")
    export(model, root / "peft")
    (root / "lines.txt").write_text("the cat sleeps .\tthe dog sleeps .\n" * 3)
    for name, config in (("adapt", ADAPT), ("pretrain", PRETRAIN), ("data", {"data": ADAPT["data"]})):
        known = at_home(config, folders["bert"]) if name != "data" else config
        (root / f"{name}.yaml").write_text(json.dumps(known))
    _write_suite(root / "suite.yaml", folders["bert"])
    _write_results(root / "results")
    return root


def _write_suite(path: Path, backbone: Path) -> None:
    small = {"train_limit": 8, "validation_limit": 4, "batch_size": 4, "max_length": 16}
    trainer = {"max_epochs": 1, "max_steps": 1, "accelerator": "cpu"}
    defaults = {"model": {"pooling": "mean"}, "data": small, "trainer": trainer}
    write_suite(path, backbone, seeds=[0], defaults=defaults, strategies={"norms": {"class_path": "LayerNormTuning"}})


def _write_results(root: Path) -> None:
    root.mkdir()
    (root / "suite.json").write_text(json.dumps(suite()))
    for record, predictions in records():
        where = at(record)
        if where["task"] == "cola" and where["strategy"] in ("probe", "full") and record["cell"]["seed"] < 2:
            write_record(root, record, predictions)  # type: ignore[arg-type]
    save_baselines(root, {"cola": {"what": "chance", "score": 0.5, "data": "d"}})


@pytest.fixture
def here(made: Path, tmp_path: Path, quietly: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Fill the folder of the test anew."""
    monkeypatch.setattr("plotly.offline.get_plotlyjs", lambda: "")
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115  nobody types

    def fill() -> None:
        for path in tmp_path.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(made, tmp_path, dirs_exist_ok=True)

    return fill


def strange(words: list[str], data: st.DataObject) -> list[str]:
    """The words of a command with some left out, doubled, changed or added."""
    words = list(words)
    numbers = [at for at, word in enumerate(words) if word.isdecimal()]
    if numbers and data.draw(st.booleans()):
        words[data.draw(st.sampled_from(numbers))] = str(data.draw(ALIKE[int]))
        return words
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.integers(0, max(0, len(words) - 1)))
        how = data.draw(st.sampled_from(["drop", "repeat", "value", "flag", "setting", "cut"]))
        if how == "drop":
            words[at : at + 1] = []
        elif how == "repeat":
            words[at:at] = words[at : at + 1]
        elif how == "value":
            words[at : at + 1] = [_text(data)]
        elif how == "flag":
            words[at + 1 : at + 1] = [data.draw(st.sampled_from(FLAGS))]
        elif how == "setting":
            words += _setting(data)
        else:
            words[at : at + 1] = [word[: data.draw(st.integers(0, len(word)))] for word in words[at : at + 1]]
    return words


def _text(data: st.DataObject) -> str:
    value = data.draw(JUNK | st.sampled_from(["results", "bert", "bert/config.json", "lines.txt", "-1", "0", "1e9"]))
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text.replace("\0", "")  # no shell can say it


def _setting(data: st.DataObject) -> list[str]:
    tree = data.draw(st.sampled_from([ADAPT, PRETRAIN]))
    name = ".".join(part for part in data.draw(st.sampled_from(places(tree))) if part != "init_args")
    value = _text(data)
    return [f"--{name}={value}"] if data.draw(st.booleans()) else [f"--{name}", value]


def _slow(words: list[str]) -> bool:
    text = " ".join(words)
    return any(name in text for name in ("num_workers", "devices", "documents", "max_steps", "max_epochs")) or (
        "doctor" in words and "LayerNormTuning" not in words  # all strategies
    )


@EXAMPLES
@pytest.mark.parametrize("command", COMMANDS)
@given(data=st.data())
def test_words_with_anything_changed(
    command: str, here: Callable[[], None], capfd: pytest.CaptureFixture[str], data: st.DataObject
) -> None:
    words = COMMANDS[command].split()
    changed = strange(words, data)
    if _slow(changed) and not _slow(words):
        return
    here()
    ends(changed, capfd, (0, 1, 2) if command in MAY_FAIL else (0, 2))

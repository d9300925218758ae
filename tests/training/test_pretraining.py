import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from lm_lab import adaptation_of, bind
from lm_lab.backbones import Backbone, TransformersBackbone
from lm_lab.cli import main
from lm_lab.data import microworld
from lm_lab.data.corpora.corpus import Corpus
from lm_lab.data.modules.glue import GLUE
from lm_lab.errors import UsageError
from lm_lab.objectives import MaskedLM
from lm_lab.strategies import AdaptationStrategy, FullFineTuning, LinearProbe
from lm_lab.training import pretrained
from lm_lab.training.pretraining import Pretraining, SaveBackbone

Make = Callable[..., Backbone]
ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs" / "pretraining" / "microworld_mlm.yaml"
ARCHITECTURE = ROOT / "configs" / "backbones" / "microworld_bert"
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec.*"),
]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run `lm-lab pretrain fit` on the committed config, whose paths start at the repository."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["lm-lab"])  # Lightning warns if pytest's own arguments are there too
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # Lightning's own use of jsonargparse
    return lambda *options: main(["pretrain", "fit", "--config", str(CONFIG), *options])


def fit(backbone: Backbone, output: Path, **options: Any) -> tuple[Pretraining, L.Trainer]:
    model = Pretraining(backbone, MaskedLM, learning_rate=2e-3)
    settings = {"max_steps": 6, "enable_checkpointing": False, "logger": False, "enable_progress_bar": False}
    trainer = L.Trainer(
        accelerator="cpu", enable_model_summary=False, callbacks=[SaveBackbone(output)], **(settings | options)
    )
    trainer.fit(model, bind(model, Corpus(documents=200, held_out=40, batch_size=32, max_length=64)))
    return model, trainer


def test_training_lowers_the_held_out_loss(make: Make, tmp_path: Path) -> None:
    first, last = (
        fit(make(), tmp_path / str(epochs), max_steps=-1, max_epochs=epochs)[1].callback_metrics["val/loss"]
        for epochs in (1, 12)
    )
    assert last < first - 0.5


def test_the_saved_folder_is_one_of_transformers_and_a_backbone(make: Make, tmp_path: Path) -> None:
    backbone = make()
    start = {name: value.clone() for name, value in backbone.model.state_dict().items()}
    model, _ = fit(backbone, tmp_path / "out")
    folder = tmp_path / "out"
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md", "pretraining.json"} <= {
        p.name for p in folder.iterdir()
    }
    loaded = TransformersBackbone(str(folder))
    assert loaded.pretrained
    trained = model.backbone.model.state_dict()
    assert any(not torch.equal(trained[name], start[name]) for name in start)
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(value, trained[name]), name
    text = ("the beast was good .", "yes")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer(*text).data == microworld.tokenizer()(*text).data
    theirs = AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()
    encoding = tokenizer(*text, return_tensors="pt")
    with torch.no_grad():
        assert torch.allclose(theirs(**encoding).last_hidden_state, loaded.eval().last(**encoding), atol=1e-5)


def test_corpus_steps_tokens_and_losses_are_saved(make: Make, tmp_path: Path) -> None:
    model, trainer = fit(make(), tmp_path / "out", max_epochs=2, max_steps=-1)
    card, facts = ((tmp_path / "out" / name).read_text() for name in ("README.md", "pretraining.json"))
    lengths = trainer.datamodule.training.lengths(0)
    assert int(model.tokens) == 2 * lengths.sum()
    assert f"| tokens | {2 * lengths.sum():,} |" in card
    assert "| steps | 10 |" in card
    assert "| objective | MaskedLM |" in card
    assert "| corpus | microworld, 200 documents of which 40 held out, seed 0 |" in card
    loss = float(trainer.callback_metrics["val/loss"])
    assert f"| val/loss | {loss:.5g} |" in card
    said = json.loads(facts)
    assert (said["steps"], said["tokens"], said["val/loss"]) == (10, 2 * lengths.sum(), loss)
    assert card == pretrained.card(said)  # the same facts
    assert re.match(r"[0-9a-f]{40}|no git commit", said["commit"])
    assert f"torch {torch.__version__}" in said["versions"]
    assert f"{torch.get_num_threads()} threads" in said["hardware"]
    assert said["command"]


def test_loaded_weights_train_with_their_dropout_on(make: Make, tmp_path: Path) -> None:
    modes: list[bool] = []

    class Spy(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, model: L.LightningModule, *_: Any) -> None:
            modes.append(all(module.training for module in model.backbone.modules()))

    backbone = make()
    assert not backbone.model.training
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[Spy()],
    )  # fmt: skip
    model = Pretraining(backbone, MaskedLM)
    trainer.fit(model, bind(model, Corpus(documents=96, held_out=32, batch_size=32)))
    assert modes == [True] * 4


def test_biases_norms_and_the_decoders_bias_do_not_decay(make: Make, tmp_path: Path) -> None:
    _, trainer = fit(make(), tmp_path / "out", max_steps=1)
    decayed, spared = trainer.optimizers[0].param_groups
    assert all(parameter.dim() >= 2 for parameter in decayed["params"])
    assert decayed["weight_decay"] > 0 == spared["weight_decay"]
    every = [*decayed["params"], *spared["params"]]
    assert len(every) == len({id(p) for p in every}) == len(list(trainer.lightning_module.parameters()))


def test_a_new_model_replaces_an_old_one_and_leaves_nothing_behind(make: Make, tmp_path: Path) -> None:
    output = tmp_path / "models" / "out"
    pretrained.save(make(), output, {"steps": 1})
    (output / "stale.txt").touch()
    pretrained.save(make(), output, {"steps": 2})
    assert json.loads((output / "pretraining.json").read_text()) == {"steps": 2}
    assert not (output / "stale.txt").exists()
    assert [path.name for path in output.parent.iterdir()] == ["out"]


def test_a_failed_save_leaves_the_old_model_whole(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output, backbone = tmp_path / "out", make()
    pretrained.save(backbone, output, {"steps": 1})
    monkeypatch.setattr(backbone.tokenizer, "save_pretrained", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        pretrained.save(backbone, output, {"steps": 2})
    assert json.loads((output / "pretraining.json").read_text()) == {"steps": 1}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".out")] == []


def test_a_folder_that_is_no_model_is_refused_before_training(make: Make, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match=r"exists and is no model.*--save\.output"):
        fit(make(), tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_the_architectures_vocabulary_is_that_of_the_language() -> None:
    config = json.loads((ARCHITECTURE / "config.json").read_text())
    assert config["vocab_size"] == len(microworld.vocabulary())
    assert not TransformersBackbone(str(ARCHITECTURE)).pretrained


def test_the_command_runs_the_committed_config(command: Callable[..., int], tmp_path: Path) -> None:
    folder = tmp_path / "bert"
    short = [
        "--trainer.max_epochs=2",
        "--data.documents=400",
        "--data.held_out=100",
        "--trainer.enable_progress_bar=false",
    ]
    assert command(f"--save.output={folder}", *short) == 0
    assert (
        TransformersBackbone(str(folder)).hidden_size
        == json.loads((ARCHITECTURE / "config.json").read_text())["hidden_size"]
    )


def test_the_command_tells_a_mistake_in_one_line(
    command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(f"--save.output={tmp_path / 'bert'}", "--data.source=nowhere.txt") == 2
    assert "error: no text at 'nowhere.txt'; give a UTF-8 text file" in capsys.readouterr().err


def adapted(source: Path, strategy: AdaptationStrategy, learning_rate: float, epochs: int) -> float:
    """Accuracy on words of the microworld's sentiment task that its training rows never show."""
    data = GLUE("sst2", source="microworld")
    model = adaptation_of(
        TransformersBackbone(str(source)), strategy, data.task, learning_rate=learning_rate, pooling="mean"
    )  # fmt: skip
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=epochs, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, gradient_clip_val=1.0, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(model, bind(model.model, data))
    return float(trainer.callback_metrics["validation/score"])


@pytest.mark.slow
def test_pretraining_helps_on_words_that_training_never_shows(command: Callable[..., int], tmp_path: Path) -> None:
    folder = tmp_path / "bert"
    assert command(f"--save.output={folder}", "--trainer.enable_progress_bar=false") == 0
    probe = adapted(folder, LinearProbe(), 1e-2, 6)
    full = adapted(folder, FullFineTuning(), 5e-4, 6)
    controls = adapted(ARCHITECTURE, LinearProbe(), 1e-2, 6), adapted(ARCHITECTURE, FullFineTuning(), 5e-4, 6)
    assert max(controls) < 0.6  # chance is 0.5
    assert probe > 0.7
    assert full > 0.85

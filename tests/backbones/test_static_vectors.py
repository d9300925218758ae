"""A backbone that is no model of `transformers`, in ten lines, through all that a backbone goes through."""

import json
import re
from pathlib import Path

import lightning as L
import pytest
import torch
from suites import write_suite
from torch import Tensor, nn

from lm_lab import bind, cli
from lm_lab import objectives as o
from lm_lab import strategies as s
from lm_lab.backbones import Backbone
from lm_lab.backbones.loading import load_tokenizer
from lm_lab.data import microworld
from lm_lab.data.modules.glue import GLUE
from lm_lab.doctor.examine import examine
from lm_lab.doctor.examples import EXAMPLES
from lm_lab.errors import UsageError
from lm_lab.heads.build import generation_head
from lm_lab.interchange.merged import save_merged
from lm_lab.interchange.peft_write import export
from lm_lab.models import AdaptedModel
from lm_lab.models.loading import load_adaptation
from lm_lab.tasks import glue_task
from lm_lab.training.adaptation import adaptation_of
from lm_lab.training.pretraining import Pretraining, SaveBackbone


class StaticVectors(Backbone):
    """A vector a token, whatever stands around it; `source` is a folder with vectors.pt and a tokenizer."""

    def __init__(self, source: str) -> None:
        super().__init__(source=source)
        self.tokenizer = load_tokenizer(source)
        self.embeddings = nn.Embedding.from_pretrained(torch.load(f"{source}/vectors.pt"), freeze=False)
        self.hidden_size = self.embeddings.embedding_dim

    def forward(self, input_ids: Tensor, **_: Tensor) -> tuple[Tensor, ...]:
        return (self.embeddings(input_ids),)


class Recurrent(Backbone):
    """Two LSTMs, left to right: a decoder with random weights, to see that the seam holds for what comes next."""

    causal, pretrained, num_layers = True, False, 2

    def __init__(self, width: int = 16) -> None:
        super().__init__(width=width)
        self.tokenizer, self.hidden_size = microworld.tokenizer(), width
        self.embeddings = nn.Embedding(len(self.tokenizer), width)
        self.layers = nn.ModuleList(nn.LSTM(width, width, batch_first=True) for _ in range(2))

    def forward(self, input_ids: Tensor, **_: Tensor) -> tuple[Tensor, ...]:
        states = [self.embeddings(input_ids)]
        for layer in self.layers:
            states.append(layer(states[-1])[0])
        return tuple(states)


PATH = f"{StaticVectors.__module__}.StaticVectors"
STRATEGIES = {"full": s.FullFineTuning(), "probe": s.LinearProbe(), "weighted": s.WeightedFeatures()}
WORKS = {"FeatureBased", "FullFineTuning", "GradualUnfreezing", "LinearProbe", "MLPProbe", "WeightedFeatures"}


@pytest.fixture
def source(tmp_path: Path) -> str:
    folder = tmp_path / "vectors"
    folder.mkdir()
    tokenizer = microworld.tokenizer()
    tokenizer.save_pretrained(folder)
    torch.save(torch.randn(len(tokenizer), 16, generator=torch.Generator().manual_seed(0)), folder / "vectors.pt")
    return str(folder)


@pytest.mark.parametrize("name", STRATEGIES)
def test_it_is_trained_saved_and_loaded(name: str, source: str, tmp_path: Path) -> None:
    data = GLUE("sst2", source="microworld", train_limit=200, validation_limit=50, batch_size=20)
    module = adaptation_of(StaticVectors(source), STRATEGIES[name], data.task, learning_rate=3e-2)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = L.Trainer(max_epochs=2, accelerator="cpu", enable_model_summary=False, **quiet)
    trainer.fit(module, bind(module.model, data))
    assert 0 <= trainer.callback_metrics["validation/accuracy"] <= 1
    changed = not torch.equal(module.backbone.token_embeddings, StaticVectors(source).token_embeddings)
    assert changed == (name == "full")
    again = load_adaptation(module.model.save(tmp_path / "delta"), [StaticVectors.__module__])
    texts = ["a fine film .", "dull and slow ."]
    assert again.predict(texts) == module.model.eval().predict(texts)
    with again.disabled():
        assert torch.equal(again.backbone.token_embeddings, StaticVectors(source).token_embeddings)


def test_its_delta_belongs_to_these_vectors_and_comes_from_packages_that_are_trusted(source, tmp_path) -> None:
    model = AdaptedModel(StaticVectors(source), s.FullFineTuning(), glue_task("sst2"))
    folder = model.save(tmp_path / "delta")
    with pytest.raises(UsageError, match=f"names {PATH} as a backbone, outside of lm_lab.backbones"):
        load_adaptation(folder)
    torch.save(torch.load(f"{source}/vectors.pt") + 1, f"{source}/vectors.pt")
    with pytest.raises(UsageError, match=f"belongs to the backbone '{PATH}' with weights"):
        load_adaptation(folder, [StaticVectors.__module__])


def test_it_is_known_by_its_vectors_not_by_where_they_lie(source: str, tmp_path: Path) -> None:
    first = StaticVectors(source).fingerprint
    assert StaticVectors(str(Path(source).rename(tmp_path / "elsewhere"))).fingerprint == first
    assert Recurrent().fingerprint == Recurrent().fingerprint != Recurrent(8).fingerprint
    assert Recurrent().fingerprint.startswith("random-")


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_doctor_finds_nothing_wrong(name: str, source: str) -> None:
    results = examine(StaticVectors(source), name, EXAMPLES[name])
    assert [f"{row.check}: {row.detail}" for row in results if not row.ok] == []
    assert results[0].refused == (name.split(",")[0] not in WORKS)
    assert re.search("StaticVectors|this backbone has 0 blocks", results[0].detail) or not results[0].refused


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (s.LoRA(), "LoRA cannot adapt this StaticVectors: StaticVectors has no site for the role 'query'"),
        (s.LoRA(roles="all"), "LoRA has nothing to train in this StaticVectors"),
        (s.HoulsbyAdapter(), "HoulsbyAdapter cannot adapt this StaticVectors.* no site for the role"),
        (s.PTuningV2(), "PTuningV2 cannot adapt this StaticVectors.* no site for the role 'value'"),
        (s.PromptTuning(), "PromptTuning works inside a model of transformers; StaticVectors is none"),
        (s.BitFit(), "BitFit has nothing to train in this StaticVectors: it looks for biases"),
        (s.PartialFineTuning(blocks=1), "blocks=1: this backbone has 0 blocks"),
    ],
)
def test_what_it_lacks_is_refused_by_name(strategy: s.AdaptationStrategy, message: str, source: str) -> None:
    with pytest.raises(UsageError, match=message):
        AdaptedModel(StaticVectors(source), strategy, glue_task("sst2"))


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (o.MaskedLM, "MaskedLM learns from the tokens around one, and StaticVectors has no layer"),
        (o.SpanBERT, "SpanBERT learns from the tokens around one, and StaticVectors has no layer"),
        (o.ReplacedToken, "ReplacedToken learns from the tokens around one, and StaticVectors has no layer"),
        (o.UniLM, "UniLM works inside a model of transformers; StaticVectors is none"),
        (o.PermutationLM, "PermutationLM works inside a model of transformers; StaticVectors is none"),
        (o.CausalLM, "StaticVectors .*CausalLM needs a decoder"),
        (o.SpanCorruption, "SpanCorruption needs an encoder-decoder .*; StaticVectors is none"),
        (o.SentenceOrder, "SentenceOrder learns from the tokens around one, and StaticVectors has no layer"),
    ],
)
def test_objectives_that_need_what_stands_around_a_token_are_refused(objective, message: str, source: str) -> None:
    with pytest.raises(UsageError, match=message):
        objective(StaticVectors(source))


def test_what_needs_transformers_is_refused(source: str, tmp_path: Path) -> None:
    model = AdaptedModel(StaticVectors(source), s.FullFineTuning(), glue_task("sst2"))
    for write, message in ((export, "PEFT's format works inside a model of transformers; StaticVectors is none"),
                           (save_merged, "StaticVectors cannot be saved as a folder")):  # fmt: skip
        with pytest.raises(UsageError, match=message):
            write(model, tmp_path / "out")
        assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="a head that writes texts works inside a model of transformers"):
        generation_head(model.backbone)


def test_a_decoder_of_ones_own_is_a_language_model_and_its_blocks_are_found() -> None:
    backbone = Recurrent()
    assert backbone.pooling == "last"
    assert [match.name for match in backbone.sites("block")] == ["layers.0", "layers.1"]
    for strategy in (s.FullFineTuning(), s.PartialFineTuning(blocks=1), s.WeightedFeatures()):
        results = examine(backbone, type(strategy).__name__, strategy)
        assert [f"{row.check}: {row.detail}" for row in results if not row.ok or row.refused] == []
    objective = o.CausalLM(backbone)
    ids = torch.randint(5, 20, (2, 6))
    loss = objective(backbone, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    loss.total.backward()
    assert backbone.embeddings.weight.grad is not None
    with pytest.raises(UsageError, match="Recurrent cannot be saved as a folder"):
        SaveBackbone().setup(None, Pretraining(backbone, o.CausalLM), "fit")  # type: ignore[arg-type]


def test_commands_take_it_by_its_class_path(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    allowed = ["--allow-import", StaticVectors.__module__]
    given = ["--model.backbone", PATH, "--model.backbone.source", source, "--model.strategy", "FullFineTuning"]
    data = ["--data", "GLUE", "--data.task", "sst2", "--data.source", "microworld", "--data.train_limit", "64"]
    run = ["--trainer.max_steps", "2", "--trainer.accelerator", "cpu", "--trainer.default_root_dir", str(tmp_path)]
    assert cli.main(["adapt", "fit", *allowed, *given, *data, *run]) == 0
    assert cli.main(["doctor", "--backbone", PATH, "--backbone.source", source, "--json", *allowed,
                     "--strategy", "FullFineTuning"]) == 0  # fmt: skip
    rows = json.loads("[" + capsys.readouterr().out.partition("\n[")[2])
    assert {row["family"] for row in rows} == {"StaticVectors"}
    assert all(row["ok"] for row in rows)


def test_commands_that_train_nothing_take_it(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--backbone", PATH, "--backbone.source", source, "--allow-import", StaticVectors.__module__, "--json"]
    assert cli.main(["ledger", *given, "--strategy", "FullFineTuning", "--task", "mrpc"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert counts["backbone_trained"] == StaticVectors(source).token_embeddings.numel()
    assert cli.main(["probe", *given, "--task", "sst2", "--source", "microworld", "--limit", "60"]) == 0
    (layer,) = json.loads(capsys.readouterr().out)
    assert layer["random"] is not None
    assert cli.main(["probe", *given, "--task", "sst2", "--wrong", "1"]) == 2
    assert "--wrong" in capsys.readouterr().err


def test_a_suite_runs_it(source: str, tmp_path: Path) -> None:
    backbones = {"static": {"backbone": {"class_path": PATH, "init_args": {"source": source}}}}
    strategies = {"full": {"class_path": "FullFineTuning"}, "probe": {"class_path": "LinearProbe"},
                  "weighted": {"class_path": "WeightedFeatures"}}  # fmt: skip
    suite = write_suite(tmp_path / "suite.yaml", Path(source), backbones=backbones, strategies=strategies, seeds=[0])
    command = ["bench", "run", str(suite), "--out", str(tmp_path / "out"), "--workers", "0", "--wandb", "disabled",
               "--allow-import", StaticVectors.__module__]  # fmt: skip
    assert cli.main(command) == 0
    records = [json.loads(path.read_text()) for path in (tmp_path / "out" / "cells").glob("*.json")]
    assert {record["status"] for record in records} == {"done"}
    assert {record["fingerprints"]["weights"] for record in records} == {StaticVectors(source).fingerprint}
    assert len(records) == 3

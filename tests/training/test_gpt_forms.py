"""GPT's input forms, heads and auxiliary loss, fitted, saved and loaded with real code paths."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import nn

from lm_lab import GLUE, AdaptedModel, Backbone, bind
from lm_lab.backbones.language import LanguageOutput, next_token_loss
from lm_lab.data.modules.base import TaskData
from lm_lab.data.modules.choices import MultipleChoice
from lm_lab.errors import UsageError
from lm_lab.heads.scorers import MLPHead
from lm_lab.interchange import peft_read, peft_write
from lm_lab.models import delta
from lm_lab.models.loading import load_adaptation
from lm_lab.serving.bank import require_alike
from lm_lab.strategies import FullFineTuning, LinearProbe, LoRA, WeightedFeatures
from lm_lab.training.adaptation import Adaptation, adaptation_of

Make = Callable[..., Backbone]
QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
SMALL = {"source": "microworld", "train_limit": 48, "validation_limit": 40, "batch_size": 16}


def fit(model: Adaptation, data: TaskData, epochs: int = 1) -> L.Trainer:
    trainer = L.Trainer(max_epochs=epochs, **QUIET)
    trainer.fit(model, bind(model.model, data))
    return trainer


@pytest.mark.parametrize("task", ["sst2", "rte", "stsb", "choice"])
@pytest.mark.parametrize("pairs", ["cross_encoder", "both_orders", "bi_encoder"])
def test_every_form_trains_with_the_auxiliary_loss_and_an_mlp(make: Make, task: str, pairs: Any) -> None:
    data = MultipleChoice(task, **SMALL) if task == "choice" else GLUE(task, **SMALL)
    model = adaptation_of(make("gpt2"), LoRA(), data.task, pairs=pairs, head="mlp", lm_weight=0.5)
    assert isinstance(model.model.head.scorer, MLPHead)
    logged = fit(model, data).callback_metrics
    assert {"train/loss", "train/lm_loss", "validation/score"} <= set(logged)
    assert logged["train/lm_loss"] > 1.0


def batch_of(model: AdaptedModel, task: str = "rte") -> dict[str, Any]:
    data = bind(model, GLUE(task, **SMALL))
    data.encode(("train",))
    return data.encoded["train"].collate([0, 1, 2])


def test_both_orders_are_added_before_the_head(make: Make) -> None:
    model = adaptation_of(make("gpt2"), LoRA(), GLUE("rte").task, pairs="both_orders").eval()
    batch = batch_of(model.model)
    first, second = batch["texts"]
    assert sorted(first["input_ids"][0].tolist()) == sorted(second["input_ids"][0].tolist())
    assert not torch.equal(first["input_ids"], second["input_ids"])
    pooled = model.model.features(batch)  # (b, 2, 1, d)
    assert torch.allclose(model(batch), model.model.head.scorer(pooled[:, 0, 0] + pooled[:, 1, 0]))
    turned = batch | {"texts": [second, first]}
    assert torch.allclose(model(batch), model(turned), atol=1e-6)


def test_a_single_text_has_one_order(make: Make) -> None:
    model = adaptation_of(make("gpt2"), LoRA(), GLUE("sst2").task, pairs="both_orders").eval()
    batch = batch_of(model.model, "sst2")
    assert len(batch["texts"]) == 1
    assert torch.equal(model(batch), model.model.head.scorer(model.model.features(batch)[:, 0, 0]))


@pytest.mark.parametrize("strategy", [FullFineTuning(), WeightedFeatures(frozen=False)], ids=["last", "all layers"])
def test_the_loss_is_the_tasks_and_the_language_models(make: Make, strategy: Any) -> None:
    backbone = make("gpt2", dropout=0.0)
    task = GLUE("rte").task
    model = adaptation_of(backbone, strategy, task, pairs="bi_encoder", lm_weight=0.5).eval()
    batch = batch_of(model.model)
    losses = [
        next_token_loss(
            LanguageOutput(backbone), backbone.last(**text), text["input_ids"], text["attention_mask"]
        ).item()
        for text in batch["texts"]
    ]
    expected = task.loss(model(batch), batch).item() + 0.5 * sum(losses) / 2
    model.log = lambda *_, **__: None  # type: ignore[assignment,method-assign]
    assert model.loss(batch).item() == pytest.approx(expected, rel=1e-5)


def test_the_auxiliary_loss_teaches_the_language(make: Make) -> None:
    data = GLUE("rte", source="microworld", train_limit=320, validation_limit=20, batch_size=16)
    losses = []
    for weight in (0.5, 0.0):
        L.seed_everything(0, verbose=False)
        model = adaptation_of(make("gpt2"), FullFineTuning(), data.task, learning_rate=3e-3, lm_weight=weight)
        fit(model, data, epochs=2)
        text = data.encoded["validation"].collate(list(range(20)))["texts"][0]
        states, output = model.eval().backbone.last(**text), LanguageOutput(model.model.backbone)
        losses.append(next_token_loss(output, states, text["input_ids"], text["attention_mask"]).item())
    assert losses[0] < losses[1] - 0.7


@pytest.mark.parametrize(
    ("family", "strategy", "weight", "message"),
    [
        ("bert", LoRA(), 0.5, "lm_weight=0.5 on bert: expected 0, or a weight above 0 and a decoder"),
        ("t5", LoRA(), 0.5, "lm_weight=0.5 on t5"),
        ("gpt2", LoRA(), -1.0, "lm_weight=-1 on gpt2"),
        ("gpt2", LinearProbe(), 0.5, "lm_weight=0.5: this strategy trains nothing of the backbone"),
    ],
)
def test_where_the_auxiliary_loss_has_no_place(
    make: Make, family: str, strategy: Any, weight: float, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        adaptation_of(make(family), strategy, GLUE("rte").task, lm_weight=weight)


def test_the_mlp_is_berts_pooler_and_classifier() -> None:
    head = MLPHead(8, 3).eval()
    x = torch.randn(2, 8)
    expected = head.classifier.out(torch.tanh(x @ head.hidden.weight.T + head.hidden.bias))
    assert torch.allclose(head(x), expected, atol=1e-6)
    linear = [module for module in head.modules() if isinstance(module, nn.Linear)]
    assert sum(p.numel() for module in linear for p in module.parameters()) == 8 * 8 + 8 + 8 * 3 + 3


@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_head_delimiter_and_orders_are_saved_and_load_back_bit_identically(
    make: Make, tmp_path: Path, family: str
) -> None:
    data = GLUE("rte", **SMALL)
    reading: dict[str, Any] = {"pairs": "both_orders", "head": "mlp", "delimiter": " means ", "pooling": "attention"}
    model = adaptation_of(make(family), LoRA(), data.task, **reading)
    fit(model, data)
    delta.save(model.model, tmp_path / "delta")
    loaded = load_adaptation(tmp_path / "delta")
    assert (loaded.head_kind, loaded.delimiter, loaded.pairs) == ("mlp", " means ", "both_orders")
    ours, theirs = batch_of(model.model), batch_of(loaded)
    assert torch.equal(ours["texts"][0]["input_ids"], theirs["texts"][0]["input_ids"])
    with torch.no_grad():
        assert torch.equal(model.eval()(ours), loaded(theirs))


def test_the_language_output_is_no_part_of_a_delta(make: Make) -> None:
    plain = adaptation_of(make("gpt2"), LoRA(), GLUE("rte").task)
    model = adaptation_of(make("gpt2"), LoRA(), GLUE("rte").task, lm_weight=0.5)
    assert delta.keys(model.model) == delta.keys(plain.model)
    assert set(model.state_dict()) == set(plain.state_dict())


@pytest.mark.parametrize("strategy", [LoRA(), LinearProbe()], ids=["LoRA", "LinearProbe"])
def test_a_head_may_take_the_place_of_the_strategys_own(make: Make, strategy: Any) -> None:
    own = adaptation_of(make(), strategy, GLUE("rte").task).model.head.scorer
    assert type(own) is type(strategy.head(32, 2))
    chosen = adaptation_of(make(), strategy, GLUE("rte").task, head="mlp").model.head.scorer
    assert isinstance(chosen, MLPHead)


def test_a_bert_reads_the_same_tokens_as_ever(make: Make) -> None:
    backbone = make("bert")
    model = adaptation_of(backbone, LoRA(), GLUE("rte").task)
    assert model.model.encoding.tokenizer is backbone.tokenizer


def test_an_mlp_head_leaves_in_pefts_format_and_comes_back(make: Make, tmp_path: Path) -> None:
    model = AdaptedModel(make("gpt2"), LoRA(rank=2), GLUE("rte").task, head="mlp").eval()
    found = peft_read.read(peft_write.export(model, tmp_path / "adapter"), make("gpt2"), model.task)
    batch = batch_of(model)
    assert found.has_head
    with torch.no_grad():
        assert torch.allclose(found.model(batch), model(batch), atol=1e-6)


def test_deltas_that_read_in_different_ways_are_not_served_together(make: Make, tmp_path: Path) -> None:
    for delimiter in ("then", "means"):
        delta.save(AdaptedModel(make("gpt2"), LoRA(), GLUE("rte").task, delimiter=delimiter), tmp_path / delimiter)
    with pytest.raises(UsageError, match='differ in delimiter: "then" and "means"'):
        require_alike([tmp_path / "then", tmp_path / "means"])

"""What holds for every strategy on every family, by the checks that `lm-lab doctor` runs on a user's own model."""

import re
from pathlib import Path

import pytest
import torch
from tiny_models import FAMILIES

from lm_lab import AdaptedModel, strategies
from lm_lab.doctor.examine import examine
from lm_lab.doctor.examples import EXAMPLES
from lm_lab.errors import UsageError
from lm_lab.models import delta
from lm_lab.strategies import (
    AdaptationStrategy,
    FullFineTuning,
    GradualUnfreezing,
    HoulsbyAdapter,
    LinearProbe,
    LoRA,
    PartialFineTuning,
    WeightedFeatures,
)
from lm_lab.strategies.base import Delta
from lm_lab.tasks import glue_task

DOCS = Path(__file__).parents[2] / "docs"
REFUSED = {
    **{
        ("BitFit", family): "has nothing to train in this .*: it looks for biases"
        for family in ("llama", "modernbert", "t5")
    },
    **{
        (name, "albert"): "shares one block"
        for name in ("FullFineTuning, layer decay", "PartialFineTuning", "GradualUnfreezing")
    },
    **{
        (name, family): "no site for the role"
        for name in ("PrefixTuning", "PTuningV2", "Combination of prefix and parallel adapter")
        for family in ("deberta-v2", "xlnet", "longformer", "reformer")
    },
    **{
        (name, "xlnet"): "no site for the role"
        for name in ("HoulsbyAdapter", "LoRA", "DoRA", "VeRA", "IA3", "Combination of LoRA and LayerNormTuning")
    },
}


def test_every_strategy_has_an_example():
    exported = {getattr(strategies, name) for name in strategies.__all__} - {AdaptationStrategy}
    assert {type(strategy) for strategy in EXAMPLES.values()} == exported


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", EXAMPLES)
def test_contract(make, name, family):
    results = examine(make(family), name, EXAMPLES[name])
    if (name, family) in REFUSED:
        assert results[0].refused
        assert re.search(REFUSED[name, family], results[0].detail)
    else:
        assert [f"{r.check}: {r.detail}" for r in results if not r.ok or r.refused] == []


def test_the_documentation_says_which_pairs_work():
    table = (DOCS / "doctor.md").read_text().split("<!-- compatibility -->")[1].split("<!-- end -->")[0]
    rows = [line.strip("| ").split(" | ") for line in table.split("\n") if " | yes |" in line]
    assert [row[0] for row in rows] == list(EXAMPLES)
    for name, *cells in rows:
        assert cells == ["–" if (name, family) in REFUSED else "yes" for family in FAMILIES], name


@pytest.fixture(params=EXAMPLES)
def adapted(make, request):
    return AdaptedModel(make("bert"), EXAMPLES[request.param], glue_task("sst2"))


def test_what_trains_whole_runs_in_train_mode_and_nothing_else(adapted):
    adapted.train()
    blocks = [match.module.training for match in adapted.backbone.sites("block")]
    whole = isinstance(adapted.strategy, FullFineTuning | GradualUnfreezing) or (
        isinstance(adapted.strategy, WeightedFeatures) and not adapted.strategy.frozen
    )
    partial = isinstance(adapted.strategy, PartialFineTuning)
    assert blocks == ([True, True] if whole else [False, partial])
    assert all(module.training for module in adapted.modules() if isinstance(module, Delta))
    assert not any(module.training for module in adapted.eval().modules())


def test_delta_holds_what_trains_and_the_head_alone(adapted, tmp_path):
    from safetensors.torch import load_file

    adapted.finish()
    saved = load_file(delta.save(adapted, tmp_path / "delta") / delta.TENSORS)
    trained = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert trained <= set(saved)
    assert all(name in trained or name.startswith("head.") for name in saved)


def test_partial_fine_tuning_drops_out_in_trained_blocks_only(make):
    model = AdaptedModel(make("bert"), PartialFineTuning(blocks=1), glue_task("sst2")).train()
    lower, upper = model.backbone.model.encoder.layer
    assert not any(m.training for m in lower.modules())
    assert all(m.training for m in upper.modules())
    assert not model.backbone.model.embeddings.dropout.training


def test_dropout_of_frozen_parts_on_request(make):
    model = AdaptedModel(make("bert"), LinearProbe(), glue_task("sst2"), frozen_dropout=True).train()
    assert all(m.training for m in model.backbone.modules())


def test_another_strategys_delta_is_refused_by_key(make, tmp_path):
    folder = delta.save(AdaptedModel(make(), LoRA(rank=4), glue_task("sst2")), tmp_path / "delta")
    with pytest.raises(UsageError, match=r"does not fit HoulsbyAdapter .* It lacks .* It has .*lora.* too many"):
        delta.load(AdaptedModel(make(), HoulsbyAdapter(size=8), glue_task("sst2")), folder)


def test_another_backbones_delta_is_refused(make, tmp_path):
    folder = delta.save(AdaptedModel(make("bert"), LoRA(), glue_task("sst2")), tmp_path / "delta")
    with pytest.raises(UsageError, match="belongs to the backbone"):
        delta.load(AdaptedModel(make("electra"), LoRA(), glue_task("sst2")), folder)


@pytest.mark.parametrize("pooling", ["cls", "mean", "max", "last", "attention"])
def test_every_pooling_trains_a_head(make, pooling):
    model = AdaptedModel(make("bert"), LinearProbe(), glue_task("mrpc"), pooling=pooling, pairs="bi_encoder")
    ids = torch.randint(5, 100, (4, 6))
    text = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    model({"texts": [text, text]}).sum().backward()
    assert all(p.grad is not None for name, p in model.named_parameters() if p.requires_grad)

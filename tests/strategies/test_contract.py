"""What holds for every strategy on every family."""

import copy
import pickle

import pytest
import torch
from tiny_models import FAMILIES

from lm_lab.errors import UsageError
from lm_lab.strategies import FullFineTuning, HoulsbyAdapter, LinearProbe, LoRA, PartialFineTuning
from lm_lab.strategies.base import Delta
from lm_lab.tasks import glue_task
from lm_lab.training import delta
from lm_lab.training.adaptation import Adaptation
from lm_lab.training.ledger import ledger

REFUSED = {
    ("BitFit", "llama"): "has no bias",
    ("BitFit", "modernbert"): "has no bias",
    ("PartialFineTuning", "albert"): "shares one block",
}


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture
def adapted(make, strategy, family):
    if expected := REFUSED.get((type(strategy).__name__, family)):
        with pytest.raises(UsageError, match=expected):
            strategy.apply(make(family))
        pytest.skip(f"refused with a clear error: {expected}")
    return Adaptation(make(family), strategy, glue_task("sst2"), pooling="mean")


def batch(rows: int = 4, length: int = 6) -> dict:
    ids = torch.randint(5, 100, (rows, length))
    mask = torch.ones_like(ids)
    mask[0, -2:] = 0
    return {"texts": [{"input_ids": ids, "attention_mask": mask}], "labels": torch.tensor([0.0, 1.0] * (rows // 2))}


def train(model: Adaptation, steps: int = 3) -> None:
    model.train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        data = batch()
        model.task.loss(model(data), data["labels"]).backward()
        optimizer.step()


def test_frozen_weights_stay_and_every_trained_one_moves(adapted):
    before = {name: p.detach().clone() for name, p in adapted.named_parameters()}
    train(adapted)
    for name, parameter in adapted.named_parameters():
        same = torch.equal(before[name], parameter)
        assert same or parameter.requires_grad, f"{name} is frozen and moved"
        if parameter.requires_grad and "lora" not in name and "token_type" not in name and "head" not in name:
            assert parameter.grad is not None, f"{name} trains and got no gradient"


def test_the_start_is_the_pretrained_model(adapted, make, family, strategy):
    data = batch()["texts"][0]
    with torch.no_grad():
        expected = make(family).eval().last(**data)
        found = adapted.eval().backbone.last(**data)
    tolerance = 1e-3 if isinstance(strategy, HoulsbyAdapter) else 0.0  # near the identity, not at it
    assert (found - expected).abs().max() <= tolerance


def test_delta_loads_back_to_the_same_predictions(adapted, make, family, strategy, tmp_path):
    train(adapted)
    data = batch()
    folder = delta.save(adapted, tmp_path / "delta")
    fresh = Adaptation(make(family), strategy, glue_task("sst2"), pooling="mean")
    delta.load(fresh, folder)
    with torch.no_grad():
        assert torch.equal(adapted.eval()(data), fresh.eval()(data))


def test_delta_holds_what_trains_and_the_head_alone(adapted, tmp_path):
    from safetensors.torch import load_file

    saved = load_file(delta.save(adapted, tmp_path / "delta") / delta.TENSORS)
    trained = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert trained <= set(saved)
    assert all(name in trained or name.startswith("head.") for name in saved)
    counts = ledger(adapted)
    assert sum(t.numel() * t.element_size() for t in saved.values()) == counts["delta_bytes"]
    assert counts["trained"] == sum(p.numel() for p in adapted.parameters() if p.requires_grad)


def test_copies_and_pickles_keep_working(adapted):
    data = batch()
    with torch.no_grad():
        expected = adapted.eval()(data)
        for twin in (copy.deepcopy(adapted.backbone), pickle.loads(pickle.dumps(adapted.backbone))):
            model = copy.copy(adapted)
            model._modules = {**adapted._modules, "backbone": twin}
            assert torch.equal(model(data), expected)


def test_what_trains_whole_runs_in_train_mode_and_nothing_else(adapted, strategy):
    adapted.train()
    blocks = [match.module.training for match in adapted.backbone.sites("block")]
    expected = {FullFineTuning: [True] * len(blocks), PartialFineTuning: [False] * (len(blocks) - 1) + [True]}
    assert blocks == expected.get(type(strategy), [False] * len(blocks))
    assert all(module.training for module in adapted.modules() if isinstance(module, Delta))
    assert not any(module.training for module in adapted.eval().modules())


def test_partial_fine_tuning_drops_out_in_trained_blocks_only(make):
    model = Adaptation(make("bert"), PartialFineTuning(blocks=1), glue_task("sst2")).train()
    lower, upper = model.backbone.model.encoder.layer
    assert not any(m.training for m in lower.modules())
    assert all(m.training for m in upper.modules())
    assert not model.backbone.model.embeddings.dropout.training


def test_dropout_of_frozen_parts_on_request(make):
    model = Adaptation(make("bert"), LinearProbe(), glue_task("sst2"), frozen_dropout=True).train()
    assert all(m.training for m in model.backbone.modules())


def test_another_strategys_delta_is_refused_by_key(make, tmp_path):
    folder = delta.save(Adaptation(make(), LoRA(rank=4), glue_task("sst2")), tmp_path / "delta")
    with pytest.raises(UsageError, match=r"does not fit HoulsbyAdapter .* It lacks .* It has .*lora.* too many"):
        delta.load(Adaptation(make(), HoulsbyAdapter(size=8), glue_task("sst2")), folder)


def test_another_backbones_delta_is_refused(make, tmp_path):
    folder = delta.save(Adaptation(make("bert"), LoRA(), glue_task("sst2")), tmp_path / "delta")
    with pytest.raises(UsageError, match="belongs to the backbone"):
        delta.load(Adaptation(make("electra"), LoRA(), glue_task("sst2")), folder)

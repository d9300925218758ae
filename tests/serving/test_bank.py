"""A mixed batch equals one user at a time, to 1e-5."""

import copy

import pytest
import torch

from lm_lab import AdaptedModel
from lm_lab.doctor.case import train
from lm_lab.errors import UsageError
from lm_lab.models import delta
from lm_lab.serving import Bank
from lm_lab.strategies import (
    IA3,
    BitFit,
    Combination,
    DoRA,
    HoulsbyAdapter,
    LayerNormTuning,
    LinearProbe,
    LoRA,
    ParallelAdapter,
    PfeifferAdapter,
    PrefixTuning,
    PromptTuning,
    PTuningV2,
    RandomMask,
    VeRA,
    WeightedFeatures,
)
from lm_lab.tasks import glue_task

KINDS = {
    "LoRA": LoRA(rank=2, alpha=32.0),
    "LoRA, all layers": LoRA(rank=2, roles="all"),
    "DoRA": DoRA(rank=2, alpha=32.0),
    "VeRA": VeRA(rank=3),
    "IA3": IA3(),
    "Houlsby": HoulsbyAdapter(size=4),
    "Pfeiffer": PfeifferAdapter(size=4),
    "parallel": ParallelAdapter(size=4),
    "prompt": PromptTuning(length=3),
    "prefix": PrefixTuning(length=3, hidden=8),
    "P-tuning v2": PTuningV2(length=3),
    "norms": LayerNormTuning(),
    "BitFit": BitFit(),
    "random mask": RandomMask(like=LoRA(rank=2)),
    "probe": LinearProbe(),
    "mix": WeightedFeatures(),
    "MAM": Combination([PTuningV2(length=2), ParallelAdapter(size=4)]),
}
USERS = 3
OWNERS = torch.tensor([2, 0, 1, 1, 0])


def text(rows: int = 5) -> dict:
    ids = torch.randint(5, 100, (rows, 6), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    return {"input_ids": ids, "attention_mask": mask}


def deltas(make, family, strategy, root, task="sst2", pairs="cross_encoder") -> tuple[list, list[AdaptedModel]]:
    """Folders of deltas of a few users, and their own models."""
    folders, models = [], []
    for user in range(USERS):
        torch.manual_seed(user)
        model = AdaptedModel(make(family), strategy, glue_task(task), pooling="mean", pairs=pairs)
        texts = 2 if pairs == "bi_encoder" else 1
        batch = {"texts": [text()] * texts, "labels": torch.randint(0, 2, (5,)).float()}
        train(model, batch, rate=1.0)
        model.finish()
        folders.append(delta.save(model.eval(), root / str(user)))
        models.append(model)
    return folders, models


@torch.no_grad()
def one_by_one(models: list[AdaptedModel], batch: dict) -> torch.Tensor:
    return torch.stack([models[user](batch)[row] for row, user in enumerate(OWNERS.tolist())])


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama", "t5"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_mixed_batch_equals_one_user_at_a_time(make, tmp_path, kind, family):
    strategy = KINDS[kind]
    if kind == "BitFit" and family in ("llama", "t5"):
        pytest.skip("no bias")
    folders, models = deltas(make, family, strategy, tmp_path)
    batch = {"texts": [text()]}
    expected = one_by_one(models, batch)
    assert (expected[1] - expected[4]).abs().max() > 1e-4  # users and texts differ
    bank = Bank(AdaptedModel(make(family), strategy, glue_task("sst2"), pooling="mean"), folders)
    assert torch.allclose(bank(batch, OWNERS), expected, atol=1e-5)
    # and again in another order: nothing of the batch before is left
    turned = {"texts": [{name: value.flip(0) for name, value in text().items()}]}
    assert torch.allclose(bank(turned, OWNERS.flip(0)), expected.flip(0), atol=1e-5)


def test_pairs_as_a_bi_encoder(make, tmp_path):
    folders, models = deltas(make, "bert", LoRA(rank=2, alpha=32.0), tmp_path, "mrpc", "bi_encoder")
    batch = {"texts": [text(), {name: value.flip(0) for name, value in text().items()}]}
    model = AdaptedModel(make("bert"), LoRA(rank=2, alpha=32.0), glue_task("mrpc"), pooling="mean", pairs="bi_encoder")
    assert torch.allclose(Bank(model, folders)(batch, OWNERS), one_by_one(models, batch), atol=1e-5)


def test_deltas_of_different_kinds_are_refused(make, tmp_path):
    folders, _ = deltas(make, "bert", LoRA(rank=2), tmp_path / "a")
    others, _ = deltas(make, "bert", LoRA(rank=4), tmp_path / "b")
    model = AdaptedModel(make("bert"), LoRA(rank=2), glue_task("sst2"), pooling="mean")
    with pytest.raises(UsageError, match=r"differ in strategy: .*\"rank\": 2.*\"rank\": 4"):
        Bank(copy.deepcopy(model), [folders[0], others[0]])
    with pytest.raises(UsageError, match="at least one folder"):
        Bank(copy.deepcopy(model), [])
    with pytest.raises(UsageError, match="belongs to the backbone"):
        Bank(AdaptedModel(make("electra"), LoRA(rank=2), glue_task("sst2"), pooling="mean"), folders)


def test_a_family_whose_modules_do_not_run_on_one_row_a_text_is_refused(make, tmp_path):
    folders, _ = deltas(make, "deberta-v2", LoRA(rank=2), tmp_path)
    bank = Bank(AdaptedModel(make("deberta-v2"), LoRA(rank=2), glue_task("sst2"), pooling="mean"), folders)
    with pytest.raises(UsageError, match="cannot be served in one batch"):
        bank({"texts": [text()]}, OWNERS)

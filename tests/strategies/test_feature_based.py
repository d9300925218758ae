"""A task's own model over frozen features, against a plain computation."""

from collections.abc import Callable

import pytest
import torch

from lm_lab import strategies as s
from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.models import AdaptedModel
from lm_lab.tasks import glue_task
from lm_lab.tasks.tags import TagTask

Make = Callable[..., Backbone]
IDS = torch.tensor([[5, 9, 12, 7], [8, 6, 0, 0]])
TEXT = {"input_ids": IDS, "attention_mask": (IDS > 0).long()}


def adapted(backbone: Backbone, task, **reading) -> AdaptedModel:
    model = AdaptedModel(backbone, s.FeatureBased(size=3, hidden=5), task, **reading).eval()
    torch.nn.init.normal_(model.head.mix.weights)
    torch.nn.init.constant_(model.head.mix.gamma, 0.7)
    return model


def states(model: AdaptedModel, row: int) -> torch.Tensor:
    """(t, 2m) of one text alone, without padding."""
    ids = IDS[row][IDS[row] > 0].unsqueeze(0)
    found = model.backbone(input_ids=ids, attention_mask=torch.ones_like(ids))
    weights = model.head.mix.weights.softmax(0)
    mixed = 0.7 * sum(weight * state for weight, state in zip(weights, found, strict=True))
    own = model.head.model
    return own.lstm(torch.cat([own.embeddings.weight[ids], mixed], -1))[0][0]


@pytest.mark.parametrize("pooling", ["mean", "max", "last"])
def test_a_text_is_read_of_own_embeddings_beside_the_mix(make: Make, pooling: str) -> None:
    model = adapted(make("bert"), glue_task("sst2"), pooling=pooling)
    pools = {"mean": lambda x: x.mean(0), "max": lambda x: x.amax(0), "last": lambda x: x[-1]}
    expected = torch.stack([pools[pooling](states(model, row)) for row in range(2)])
    assert torch.allclose(model.head.vector(model.features({"texts": [TEXT]})), expected, atol=1e-5)


def test_a_token_has_a_state_of_its_own_and_a_pair_is_joined(make: Make) -> None:
    model = adapted(make("bert"), TagTask("tags", ("O", "B-X", "I-X")))
    vectors = model.head.vector(model.features({"texts": [TEXT]}))
    assert torch.allclose(vectors[0], states(model, 0), atol=1e-5)
    assert torch.allclose(vectors[1, :2], states(model, 1), atol=1e-5)
    pair = adapted(make("bert"), glue_task("mrpc"), pairs="bi_encoder")
    assert pair({"texts": [TEXT, TEXT]}).shape == (2, 2)


def test_only_the_head_trains_and_its_features_are_not_kept(make: Make) -> None:
    model = adapted(make("bert"), glue_task("sst2"))
    assert not any(p.requires_grad for p in model.backbone.parameters())
    assert {name.split(".")[1] for name in model.trained} == {"mix", "model", "scorer"}
    assert not model.head.fixed_features
    assert len(model.layer_weights()) == 3


def test_what_cannot_be_is_refused(make: Make) -> None:
    with pytest.raises(UsageError, match="pooling=lstm: give mean, max or last"):
        AdaptedModel(make("bert"), s.FeatureBased(), glue_task("sst2"), pooling="lstm")
    with pytest.raises(UsageError, match="hidden=0"):
        s.FeatureBased(hidden=0)
    with pytest.raises(UsageError, match="dropout=1"):
        s.FeatureBased(dropout=1.0)

"""VeRA against PEFT's, and what follows from matrices that are shared and not saved."""

import copy

import peft
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lm_lab import AdaptedModel
from lm_lab.errors import UsageError
from lm_lab.interchange import peft_write
from lm_lab.models import delta
from lm_lab.strategies import Combination, VeRA
from lm_lab.strategies.vera import Projections, VectorUpdate
from lm_lab.tasks import glue_task

# PEFT 0.21 asks transformers 5.23 for a name that has changed
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
IDS = torch.randint(5, 100, (3, 7), generator=torch.Generator().manual_seed(0))
TEXT = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}
TARGETS = {
    "bert": (("query", "value"), ["query", "value"]),
    "gpt2": (("qkv",), ["c_attn"]),
    "llama": (("query", "attn_out"), ["q_proj", "o_proj"]),
    "t5": (("query", "value"), ["q", "v"]),
}


def updates(model: nn.Module) -> dict[str, VectorUpdate]:
    return {name: module for name, module in model.named_modules() if isinstance(module, VectorUpdate)}


@pytest.fixture(params=TARGETS)
def pair(request, make):
    """Our VeRA and PEFT's from one seed, with the same random vectors."""
    roles, targets = TARGETS[request.param]
    ours, theirs = make(request.param).eval(), make(request.param).model.eval()
    strategy = VeRA(rank=6, roles=roles, seed=3)
    strategy.apply(ours)
    config = peft.VeraConfig(
        r=6, projection_prng_key=3, target_modules=targets, fan_in_fan_out=request.param == "gpt2", save_projection=True
    )
    theirs = peft.get_peft_model(theirs, config)
    named, layers = dict(theirs.named_modules()), []
    for name, module in updates(ours.model).items():
        layers.append((module, named[f"base_model.model.{name.rsplit('.', 1)[0]}"]))
        nn.init.normal_(module.b)
        nn.init.normal_(module.d)
        for own, vectors in ((module.d, "vera_lambda_d"), (module.b, "vera_lambda_b")):
            getattr(layers[-1][1], vectors)["default"].data.copy_(own.data)
    assert strategy.parameters(make(request.param)) == theirs.get_nb_trainable_parameters()[0]
    return ours, theirs, layers


def test_matrices_outputs_and_gradients_are_pefts(pair):
    ours, theirs, layers = pair
    for module, layer in layers:
        assert torch.equal(module.shared.down, layer.vera_A["default"])
        assert torch.equal(module.shared.up, layer.vera_B["default"])
    found, expected = ours.last(**TEXT), theirs(**ours._inputs(TEXT)).last_hidden_state
    assert torch.allclose(found, expected, atol=1e-5)
    for states in (found, expected):
        states.square().sum().backward()
    for module, layer in layers:
        assert torch.allclose(module.d.grad, layer.vera_lambda_d["default"].grad, atol=1e-3, rtol=1e-4)
        assert torch.allclose(module.b.grad, layer.vera_lambda_b["default"].grad, atol=1e-3, rtol=1e-4)


def test_vectors_start_as_the_paper_says(make):
    backbone = make("bert")
    VeRA(rank=5).apply(backbone)
    for update in updates(backbone).values():
        assert update.d.tolist() == pytest.approx([0.1] * 5)
        assert not update.b.any()


def test_sites_of_one_shape_share_their_matrices_in_copies_and_on_the_move(make):
    backbone = make("bert")
    VeRA(rank=5, roles=("query", "value", "mlp_in")).apply(backbone)
    for each in (backbone, copy.deepcopy(backbone), copy.deepcopy(backbone).to(torch.float64)):
        assert sum(isinstance(module, Projections) for module in each.modules()) == 2
        assert len({update.shared.down.data_ptr() for update in updates(each).values()}) == 2


def test_a_delta_holds_vectors_alone_and_the_seed_brings_the_matrices_back(make, tmp_path):
    model = AdaptedModel(make("bert"), VeRA(rank=5, seed=7), glue_task("sst2")).eval()
    for update in updates(model).values():
        nn.init.normal_(update.b)
    saved = load_file(delta.save(model, tmp_path / "delta") / delta.TENSORS)
    assert {name.rsplit(".", 1)[1] for name in saved if "vera" in name} == {"d", "b"}
    torch.manual_seed(99)
    again = AdaptedModel(make("bert"), VeRA(rank=5, seed=7), glue_task("sst2")).eval()
    delta.load(again, tmp_path / "delta")
    assert torch.equal(again({"texts": [TEXT]}), model({"texts": [TEXT]}))
    other = AdaptedModel(make("bert"), VeRA(rank=5, seed=8), glue_task("sst2")).eval()
    delta.load(other, tmp_path / "delta")
    assert not torch.allclose(other({"texts": [TEXT]}), model({"texts": [TEXT]}))


def test_two_of_them_on_different_roles(make):
    backbone = make("bert")
    both = Combination([VeRA(rank=5, roles=("query",)), VeRA(rank=3, roles=("value",))])
    both.apply(backbone)
    both.merge(backbone)
    assert not any(isinstance(module, VectorUpdate | Projections) for module in backbone.modules())


def test_export_is_refused_by_name(make, tmp_path):
    model = AdaptedModel(make("bert"), VeRA(rank=5), glue_task("sst2"))
    with pytest.raises(UsageError, match=r"VeRA on bert cannot be exported: .* largest site \(VeRA\)"):
        peft_write.export(model, tmp_path / "adapter")

import pytest
import torch
from tiny_models import FAMILIES

from lm_lab.backbones.sites import FAMILIES as ROWS
from lm_lab.backbones.sites import linear_sizes
from lm_lab.errors import UsageError

LAYERS = 2
LINEAR = ("query", "key", "value", "attn_out", "mlp_in", "mlp_out")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_every_common_role_once_a_layer(make, family):
    backbone = make(family)
    per_layer = 1 if backbone.family.shared_layers else LAYERS
    for role in (*LINEAR, "block", "attn_residual", "mlp_residual"):
        assert len(backbone.sites(role)) == per_layer, role
    assert backbone.sites("embeddings")


def test_every_row_has_a_tiny_model_in_these_tests():
    assert set(ROWS) == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_norm_role_is_every_normalisation_module(make, family):
    backbone = make(family)
    norms = {name for name, module in backbone.model.named_modules() if type(module).__name__.endswith("Norm")}
    assert {match.name for match in backbone.sites("norm")} == norms


@pytest.mark.parametrize("family", FAMILIES)
def test_sites_cover_every_parameter(make, family):
    """Blocks, embeddings and the final norm are the whole model: partial fine-tuning of all is full fine-tuning."""
    backbone = make(family)
    roles = ["block", "embeddings", *(["final_norm"] if backbone.has("final_norm") else [])]
    covered = {id(p) for role in roles for match in backbone.sites(role) for p in match.module.parameters()}
    assert covered == {id(p) for p in backbone.model.parameters()}


@pytest.mark.parametrize("family", FAMILIES)
def test_residual_role_is_what_is_added_to_the_stream(make, family):
    """Zeroing what leaves both residual sites turns every block into its skip connections and norms."""
    backbone = make(family).eval()
    for role in ("attn_residual", "mlp_residual"):
        for match in backbone.sites(role):
            match.module.register_forward_hook(lambda module, args, output: torch.zeros_like(output))
    ids = torch.randint(5, 50, (2, 6))
    states = backbone(input_ids=ids, attention_mask=torch.ones_like(ids))
    # with no sublayer, tokens cannot mix: changing one leaves the others as they were
    ids[:, 3] = 7
    changed = backbone(input_ids=ids, attention_mask=torch.ones_like(ids))
    others = [0, 1, 2, 4, 5]
    assert torch.equal(states[-1][:, others], changed[-1][:, others])
    assert not torch.equal(states[-1][:, 3], changed[-1][:, 3])


def test_fused_slices_are_query_key_and_value(make):
    backbone = make("gpt2")
    parts = [backbone.sites(role)[0].part for role in ("query", "key", "value")]
    assert parts == [slice(0, 32), slice(32, 64), slice(64, 96)]
    assert backbone.sites("qkv")[0].part is None
    assert linear_sizes(backbone.sites("qkv")[0].module) == (32, 96)


@pytest.mark.parametrize("family", ["gpt2", "modernbert"])
def test_query_slice_does_not_move_values(make, family):
    """With a zero query every key is attended alike, so changing the key's slice must change nothing."""
    backbone = make(family).eval()
    ids = torch.randint(5, 50, (1, 6))

    def hook(role: str, factor: float):
        match = backbone.sites(role)[0]
        keep = torch.ones(linear_sizes(match.module)[1])
        keep[match.part] = factor
        return match.module.register_forward_hook(lambda module, args, output: output * keep)

    hook("query", 0.0)
    before = backbone.last(input_ids=ids, attention_mask=torch.ones_like(ids))
    key = hook("key", 5.0)
    assert torch.allclose(before, backbone.last(input_ids=ids, attention_mask=torch.ones_like(ids)), atol=1e-6)
    key.remove()
    hook("value", 5.0)
    assert not torch.allclose(before, backbone.last(input_ids=ids, attention_mask=torch.ones_like(ids)), atol=1e-4)


def test_a_role_that_is_missing_names_family_role_and_roles(make):
    with pytest.raises(UsageError, match=r"'bert' has no site for the role 'mlp_gate'; it has: attn_out, .*query"):
        make("bert").sites("mlp_gate")

import pytest
import torch
from tiny_models import FAMILIES

from lm_lab.backbones.sites import Part, linear_sizes
from lm_lab.errors import UsageError

LAYERS = 2


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_every_common_role_once_a_layer(make, family):
    backbone = make(family)
    # a block of a decoder that reads an encoder attends twice
    blocks, attentions = {"albert": (1, 1), "t5": (4, 6), "bart": (4, 6)}.get(family, (LAYERS, LAYERS))
    for role in ("block", "mlp_in", "mlp_out", "mlp_residual"):
        assert len(backbone.sites(role)) == blocks, role
    doubled = ("query", "key", "value") if family == "longformer" else ()  # for near tokens and for global ones
    for role in ("query", "key", "value", "attn_out", "attn_residual"):
        if family != "xlnet" and (family, role) != ("reformer", "key"):  # no modules; half of them in "query"
            assert len(backbone.sites(role)) == attentions * (2 if role in doubled else 1), role
    assert backbone.sites("embeddings")


@pytest.mark.parametrize("family", FAMILIES)
def test_linear_roles_are_every_linear_layer_of_the_blocks(make, family):
    backbone = make(family)
    found = {match.name for role in backbone.linear_roles for match in backbone.sites(role)}
    linear = {
        name
        for name, module in backbone.model.named_modules()
        if type(module).__name__ in ("Linear", "Conv1D") and backbone.depth(name) > 0
    }
    assert found == linear


@pytest.mark.parametrize("family", FAMILIES)
def test_depth_numbers_the_blocks(make, family):
    backbone = make(family)
    depths = [backbone.depth(name) for name, _ in backbone.model.named_parameters()]
    behind = backbone.num_layers + 1
    blocks = 1 if backbone.family.shared_layers else backbone.num_layers
    assert set(depths) == {0, *range(1, blocks + 1), *([behind] if backbone.has("final_norm") else [])}


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
    # XLNet's mask embedding stands for tokens to predict; a text that is read has none
    assert covered == {id(p) for name, p in backbone.model.named_parameters() if name != "mask_emb"}


@pytest.mark.parametrize("family", FAMILIES)
def test_residual_role_is_what_is_added_to_the_stream(make, family):
    """Zeroing what leaves both residual sites turns every block into its skip connections and norms."""
    backbone = make(family).eval()
    if not backbone.has("attn_residual"):
        pytest.skip(f"{family} has no module at the attention's residual")
    for role in ("attn_residual", "mlp_residual"):
        for match in backbone.sites(role):
            match.module.register_forward_hook(lambda module, args, output: torch.zeros_like(output))
    ids = torch.randint(5, 50, (2, 6))
    states = backbone(input_ids=ids, attention_mask=torch.ones_like(ids))
    # with no sublayer, tokens cannot mix: changing one leaves the others as they were
    ids[:, 3] = 7
    changed = backbone(input_ids=ids, attention_mask=torch.ones_like(ids))
    own = 4 if backbone.config.is_encoder_decoder else 3  # its decoder reads the text one to the right
    others = [position for position in range(6) if position != own]
    assert torch.equal(states[-1][:, others], changed[-1][:, others])
    assert not torch.equal(states[-1][:, own], changed[-1][:, own])


def test_fused_slices_are_query_key_and_value(make):
    backbone = make("gpt2")
    parts = [backbone.sites(role)[0].part for role in ("query", "key", "value")]
    assert parts == [Part(0, 32), Part(32, 64), Part(64, 96)]
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
        match.part.rows(keep)[:] = factor
        return match.module.register_forward_hook(lambda module, args, output: output * keep)

    hook("query", 0.0)
    before = backbone.last(input_ids=ids, attention_mask=torch.ones_like(ids))
    key = hook("key", 5.0)
    assert torch.allclose(before, backbone.last(input_ids=ids, attention_mask=torch.ones_like(ids)), atol=1e-6)
    key.remove()
    hook("value", 5.0)
    assert not torch.allclose(before, backbone.last(input_ids=ids, attention_mask=torch.ones_like(ids)), atol=1e-4)


def test_a_role_that_is_missing_names_family_role_and_roles(make):
    with pytest.raises(
        UsageError, match=r"BertModel \(bert\) has no site for the role 'mlp_gate': .*; it has: attention, .*query"
    ):
        make("bert").sites("mlp_gate")

"""What is inferred of a model: the sites that were once written by hand, and what is what in fused layers."""

import re

import pytest
import torch
from tiny_models import FAMILIES
from torch import nn
from written_sites import SITES

from lm_lab import AdaptedModel
from lm_lab.backbones.families import ROWS, FamilyRow
from lm_lab.backbones.sites import MissingSiteError, linear_sizes
from lm_lab.errors import UsageError
from lm_lab.models.ledger import full_ledger
from lm_lab.strategies import LoRA
from lm_lab.tasks import glue_task


@pytest.mark.parametrize("family", FAMILIES)
def test_inference_finds_the_sites_that_were_written_by_hand(make, family):
    backbone = make(family)
    names = [name for name, _ in backbone.model.named_modules()]
    found = {role: [(m.name, m.part) for m in backbone.sites(role)] for role in backbone.roles}
    expected = {}
    for role, written in SITES[family].items():
        pattern, third = written if isinstance(written, tuple) else (written, None)
        matches = [name for name in names if re.fullmatch(pattern, name)]
        if matches:
            expected[role] = [(name, third) for name in matches]
    assert {role: [name for name, _ in sites] for role, sites in found.items()} == {
        role: [name for name, _ in sites] for role, sites in expected.items()
    }
    for role, sites in expected.items():
        for (name, part), (_, third) in zip(found[role], sites, strict=True):
            width = linear_sizes(backbone.model.get_submodule(name))[1] // 3 if part else 0
            assert (part.start, part.stop) == (third * width, (third + 1) * width) if part else third is None, name


def test_few_rows_need_to_say_where_anything_is():
    assert {kind for kind, row in ROWS.items() if row.sites} == {"albert", "modernbert", "gpt2", "reformer", "deberta"}


def _by_head(outputs: torch.Tensor) -> list[torch.Tensor]:
    return list(outputs.view(2, 3, -1).unbind(1))


def _three(outputs: torch.Tensor) -> list[torch.Tensor]:
    return list(outputs.chunk(3))


def _split(*sizes: int):
    return lambda outputs: list(outputs.split(sizes))


def _falcon_groups(outputs: torch.Tensor) -> list[torch.Tensor]:
    grouped = outputs.view(2, 2 + 2, 8)  # two groups, of two heads with a key and a value
    return [grouped[:, :-2], grouped[:, -2], grouped[:, -1]]


def _codegen(outputs: torch.Tensor) -> list[torch.Tensor]:
    query, value, key = outputs.view(4, 3, -1).unbind(1)  # four slices of a TPU
    return [query, key, value]


# from the reshapes of each model's own code: which outputs are query, key and value
FUSED = {
    "gpt_neox": (_by_head, {}),
    "bloom": (_by_head, {}),
    "persimmon": (_by_head, {}),
    "deberta": (_by_head, {}),
    "falcon, one key": (_split(32, 16, 16), {}),
    "falcon, a key a head": (_by_head, {"multi_query": False}),
    "falcon, groups": (
        _falcon_groups,
        {"new_decoder_architecture": True, "num_attention_heads": 4, "num_kv_heads": 2},
    ),
    "codegen": (_codegen, {}),
    "mpt": (_three, {}),
    "openai-gpt": (_three, {}),
    "phi3": (_split(32, 16, 16), {}),
    "gpt_bigcode": (_split(32, 16, 16), {}),
}


@pytest.mark.parametrize("name", FUSED)
def test_lora_on_a_role_of_a_fused_projection_touches_its_rows_alone(of_type, name):
    layout, settings = FUSED[name]
    backbone = of_type(name.split(",")[0], **settings)
    (first, *_), inputs = backbone.sites("qkv"), 32
    outputs = linear_sizes(first.module)[1]
    expected = dict(zip(("query", "key", "value"), layout(torch.arange(outputs)), strict=True))
    for role, rows in expected.items():
        strategy = LoRA(rank=2, roles=(role,))
        weight = first.module.get_parameter("weight")
        weight = weight if isinstance(first.module, nn.Linear) else weight.T
        before = weight.detach().clone()
        strategy.apply(backbone)
        update = first.module.get_submodule(f"lora_{role}")
        assert update.up.shape[0] == rows.numel() == backbone.sites(role)[0].sizes[1]
        nn.init.ones_(update.up)
        nn.init.ones_(update.down)
        x = torch.ones(1, inputs)
        changed = first.module(x) - (x @ before.T + (first.module.bias if first.module.bias is not None else 0))
        assert changed.abs().gt(1e-3).flatten().nonzero().flatten().tolist() == sorted(rows.flatten().tolist())
        strategy.merge(backbone)
        assert (weight != before).any(1).nonzero().flatten().tolist() == sorted(rows.flatten().tolist())


def test_an_order_that_nobody_knows_is_refused_by_name(of_type):
    backbone = of_type("deberta", family=FamilyRow())  # its attention adds terms that keys have without queries
    with pytest.raises(MissingSiteError, match=r"\(deberta\) .* 'query': which outputs of .*in_proj are query is not"):
        backbone.sites("query")
    assert backbone.linear_roles == ["qkv", "attn_out", "mlp_in", "mlp_out", "linear"]


def test_a_look_leaves_no_trace(of_type):
    backbone = of_type("gpt_neox").train()
    backbone.model.layers[1].eval()
    training = [module.training for module in backbone.modules()]
    before, attention = torch.random.get_rng_state(), backbone.model.config._attn_implementation
    assert backbone.sites("query")
    assert [module.training for module in backbone.modules()] == training
    assert torch.equal(torch.random.get_rng_state(), before)
    assert backbone.model.config._attn_implementation == attention
    hooks = [module._forward_hooks or module._forward_pre_hooks for module in backbone.model.modules()]
    assert not any(hooks)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in backbone.parameters())


def test_a_match_says_its_layer(of_type):
    backbone = of_type("mbart")
    assert [match.layer for match in backbone.sites("mlp_out")] == [1, 2, 3, 4]
    assert {match.layer for match in backbone.sites("embeddings")} == {0}
    assert {match.layer for match in backbone.sites("final_norm")} == {5}


def test_blocks_in_parallel_lists_have_depths_and_roles_but_are_no_modules(of_type):
    backbone = of_type("xlm")
    assert [match.layer for match in backbone.sites("query")] == [1, 2]
    assert backbone.depth("layer_norm2.1.weight") == 2
    assert backbone.depth("embeddings.weight") == 0
    with pytest.raises(MissingSiteError, match="no single module is a block"):
        backbone.sites("block")


def test_a_missing_role_names_role_model_type_reason_and_what_can_be_done(of_type):
    with pytest.raises(UsageError) as told:
        AdaptedModel(of_type("mixtral"), LoRA(roles=("mlp_out",)), glue_task("sst2"))
    message = (
        r"LoRA cannot adapt this mixtral: MixtralModel \(mixtral\) has no site for the role 'mlp_out': its feed-forward"
        r" layers are experts, to which tokens are routed; it has: attention, .*value\. A row for the family can"
        r" name it \(docs/backbones\.md\)\."
    )
    assert re.fullmatch(message, str(told.value))


def test_attention_beyond_the_plain_formula_takes_no_prefix(of_type):
    with pytest.raises(MissingSiteError, match=r"more than the plain formula \(softcap\)"):
        of_type("gemma2").sites("attention")


def test_positions_behind_padding_follow_from_the_table(of_type, make):
    assert of_type("camembert").first_position == 1  # its padding is 0
    assert of_type("mpnet", pad_token_id=1).max_length == 130 - 2
    assert [make(family).first_position for family in ("bert", "roberta", "longformer", "gpt2")] == [0, 1, 1, 0]


def test_big_bird_does_not_turn_with_what_it_read_first(of_type):
    backbone = of_type("big_bird", attention_type="block_sparse")
    assert backbone.model.attention_type == backbone.config.attention_type == "original_full"


def test_what_numbers_alone_tell_is_counted_on_a_cpu(of_type):
    backbone = of_type("gpt_neox")
    counts = full_ledger(backbone.description["source"], LoRA(rank=2), glue_task("sst2"), 1, 16)
    assert counts["added"] == LoRA(rank=2).parameters(backbone) == 2 * 2 * 2 * (32 + 32)
    assert counts["inference_flops_ratio"] > counts["merged_flops_ratio"] == 1


def test_the_shorter_part_says_how_long_a_text_may_be(of_type):
    assert of_type("led", max_decoder_position_embeddings=64).max_length == 64

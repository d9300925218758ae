"""Against PEFT, and against the counts of the literature on BERT-base."""

import peft
import pytest
import torch

from lm_lab import AdaptedModel
from lm_lab.backbones import Backbone, TransformersBackbone
from lm_lab.errors import UsageError
from lm_lab.models.ledger import ledger
from lm_lab.strategies import BitFit, HoulsbyAdapter, LoRA, PartialFineTuning
from lm_lab.strategies.lora import LowRank
from lm_lab.tasks import glue_task

# PEFT 0.21 asks transformers 5.23 for a name that has changed
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

CASES = {
    "bert": (("query", "value"), ["query", "value"]),
    "gpt2": (("qkv",), ["c_attn"]),
    "llama": (("query", "value", "mlp_gate"), ["q_proj", "v_proj", "gate_proj"]),
}


@pytest.fixture(params=CASES)
def pair(request, make):
    """A backbone with our LoRA and PEFT's model with the same random A and B."""
    roles, targets = CASES[request.param]
    ours, theirs = make(request.param), make(request.param).model
    LoRA(rank=4, alpha=12.0, roles=roles).apply(ours)
    config = peft.LoraConfig(r=4, lora_alpha=12, target_modules=targets, fan_in_fan_out=request.param == "gpt2")
    theirs = peft.get_peft_model(theirs, config)
    named = dict(theirs.named_modules())
    for name, module in ours.model.named_modules():
        if isinstance(module, LowRank):
            layer = named[f"base_model.model.{name.rsplit('.', 1)[0]}"]
            torch.nn.init.normal_(module.up, std=0.3)
            layer.lora_A["default"].weight.data.copy_(module.down.data)
            layer.lora_B["default"].weight.data.copy_(module.up.data)
    return ours.eval(), theirs.eval(), roles


@torch.no_grad()
def test_lora_equals_peft(pair):
    ours, theirs, _ = pair
    ids = torch.randint(5, 100, (3, 7))
    mask = torch.ones_like(ids)
    expected = theirs(input_ids=ids, attention_mask=mask).last_hidden_state
    assert torch.allclose(ours.last(input_ids=ids, attention_mask=mask), expected, atol=1e-6)
    assert sum(p.numel() for p in ours.parameters() if p.requires_grad) == theirs.get_nb_trainable_parameters()[0]


@torch.no_grad()
def test_merged_lora_equals_unmerged_and_leaves_nothing(pair):
    ours, _, roles = pair
    ids = torch.randint(5, 100, (3, 7))
    before = ours.last(input_ids=ids, attention_mask=torch.ones_like(ids))
    LoRA(rank=4, alpha=12.0, roles=roles).merge(ours)
    assert torch.allclose(ours.last(input_ids=ids, attention_mask=torch.ones_like(ids)), before, atol=1e-5)
    assert not any(isinstance(module, LowRank) for module in ours.modules())
    assert not any(module._forward_hooks for module in ours.model.modules())


@torch.no_grad()
def test_lora_on_a_slice_of_a_fused_projection(make):
    """A query-only update of c_attn is a q, k, v update whose rows for key and value are zero."""
    sliced, whole = make("gpt2").eval(), make("gpt2").eval()
    LoRA(rank=4, roles=("query",)).apply(sliced)
    LoRA(rank=4, roles=("qkv",)).apply(whole)
    for a, b in zip(_updates(sliced), _updates(whole), strict=True):
        torch.nn.init.normal_(a.up, std=0.3)
        b.down.copy_(a.down)
        b.up.zero_()[:32] = a.up
    ids = torch.randint(5, 100, (2, 7))
    expected = whole.last(input_ids=ids, attention_mask=torch.ones_like(ids))
    found = sliced.last(input_ids=ids, attention_mask=torch.ones_like(ids))
    assert torch.allclose(found, expected, atol=1e-6)
    LoRA(rank=4, roles=("query",)).merge(sliced)
    assert torch.allclose(sliced.last(input_ids=ids, attention_mask=torch.ones_like(ids)), expected, atol=1e-5)


def _updates(backbone: Backbone) -> list[LowRank]:
    return [module for module in backbone.modules() if isinstance(module, LowRank)]


@pytest.fixture(scope="module")
def bert_base(tmp_path_factory) -> str:
    from transformers import BertConfig

    from lm_lab.data import microworld

    folder = tmp_path_factory.mktemp("bert-base")
    BertConfig().save_pretrained(folder)
    microworld.tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(
    ("strategy", "trained"),
    [
        (HoulsbyAdapter(size=48, norms=False), 1_789_056),  # reduction 16, the bottlenecks alone
        (HoulsbyAdapter(size=48), 1_789_056 + 38_400),  # and every LayerNorm
        (BitFit(), 101_376 + 768),  # the encoder's and the embedding norm's; 102,912 counts the pooler's too
        (LoRA(rank=8), 294_912),
        (PartialFineTuning(blocks=1), 7_087_872),  # 4 (d^2 + d) + 2 (4 d^2) + 5 d + 4 d with d = 768
    ],
    ids=["adapter", "adapter+norms", "bitfit", "lora", "partial"],
)
def test_counts_on_bert_base(bert_base, strategy, trained):
    counts = ledger(AdaptedModel(TransformersBackbone(bert_base), strategy, glue_task("sst2")))
    assert counts["backbone_trained"] + counts["added"] == trained
    assert counts["head"] == 1_538
    assert counts["trained"] == trained + 1_538
    assert counts["total"] == 109_482_240 - 590_592 + counts["added"] + 1_538  # BERT-base without its pooler


def test_adapter_starts_near_zero_with_the_papers_deviation(make):
    backbone = make("bert")
    HoulsbyAdapter(size=64).apply(backbone)
    weights = [p for name, p in backbone.named_parameters() if "adapter" in name and p.dim() == 2]
    values = torch.cat([weight.flatten() for weight in weights])
    assert values.abs().max() <= 2e-3
    # a normal cut at two deviations keeps 0.88 of its deviation
    assert values.std().item() == pytest.approx(0.88e-3, rel=0.03)
    assert all((p == 0).all() for name, p in backbone.named_parameters() if "adapter" in name and p.dim() == 1)


def test_reinitialised_blocks_are_fresh_and_the_others_pretrained(make):
    backbone, original = make("bert"), make("bert")
    PartialFineTuning(blocks=2, reinitialise=1).apply(backbone)
    lower, upper = backbone.model.encoder.layer
    assert torch.equal(lower.output.dense.weight, original.model.encoder.layer[0].output.dense.weight)
    assert not torch.equal(upper.output.dense.weight, original.model.encoder.layer[1].output.dense.weight)
    assert upper.intermediate.dense.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert (upper.output.LayerNorm.weight == 1).all()
    assert (upper.output.dense.bias == 0).all()


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (lambda: PartialFineTuning(blocks=3), r"blocks=3: this backbone has 2 blocks; give 0 to 2"),
        (lambda: PartialFineTuning(blocks=1, reinitialise=2), r"reinitialise=2: only trained blocks"),
    ],
)
def test_settings_the_backbone_cannot_have(make, strategy, message):
    with pytest.raises(UsageError, match=message):
        strategy().apply(make("bert"))


def test_settings_out_of_range():
    for wrong in (lambda: HoulsbyAdapter(size=0), lambda: LoRA(rank=0), lambda: LoRA(roles=())):
        with pytest.raises(UsageError, match=r"size=0|rank=0|roles=\[\]"):
            wrong()

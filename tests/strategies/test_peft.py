"""The same weights in PEFT's implementation and in ours give the same states, to 1e-5 in fp32."""

import peft
import pytest
import torch
from torch import Tensor, nn

from lm_lab.strategies import IA3, DoRA, LoRA, PrefixTuning, PromptTuning, PTuningV2
from lm_lab.strategies.ia3 import InputScale, OutputScale
from lm_lab.strategies.lora import LowRank
from lm_lab.strategies.prefix import KeyValuePrefix

# PEFT 0.21 asks transformers 5.23 for a name that has changed
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
ROLES = {
    "bert": ("query", "value"),
    "gpt2": ("qkv",),
    "llama": ("query", "value", "mlp_gate"),
    "t5": ("query", "value"),
}
TARGETS = {"bert": ["query", "value"], "gpt2": ["c_attn"], "llama": ["q_proj", "v_proj", "gate_proj"], "t5": ["q", "v"]}
VARIANTS = {"lora": {}, "rslora": {"use_rslora": True}, "dora": {"use_dora": True}}


def text(rows: int = 3, length: int = 7) -> dict[str, Tensor]:
    ids = torch.randint(5, 100, (rows, length), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def states(model: nn.Module, ours) -> Tensor:
    """Last states of a PEFT model on the inputs our backbone makes of the text."""
    with torch.no_grad():
        return model(**ours._inputs(text())).last_hidden_state


def give_the_same_update(ours: LowRank, theirs: nn.Module) -> None:
    nn.init.normal_(ours.up, std=0.3)
    theirs.lora_A["default"].weight.data.copy_(ours.down.data)
    theirs.lora_B["default"].weight.data.copy_(ours.up.data)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("family", ROLES)
def test_lora_and_its_kin(make, family, variant):
    ours, theirs = make(family), make(family).model
    kind = DoRA if variant == "dora" else LoRA
    strategy = kind(rank=4, alpha=12.0, roles=ROLES[family], rank_stabilised=variant == "rslora")
    strategy.apply(ours)
    config = peft.LoraConfig(
        r=4, lora_alpha=12, target_modules=TARGETS[family], fan_in_fan_out=family == "gpt2", **VARIANTS[variant]
    )
    theirs = peft.get_peft_model(theirs, config)
    named = dict(theirs.named_modules())
    for name, module in ours.model.named_modules():
        if isinstance(module, LowRank):
            layer = named[f"base_model.model.{name.rsplit('.', 1)[0]}"]
            give_the_same_update(module, layer)
            if variant == "dora":
                nn.init.uniform_(module.magnitude, 0.2, 0.4)
                layer.lora_magnitude_vector["default"].weight.data.copy_(module.magnitude.data)
    with torch.no_grad():
        found = ours.eval().last(**text())
    assert torch.allclose(found, states(theirs.eval(), ours), atol=1e-5)
    assert strategy.parameters(make(family)) == theirs.get_nb_trainable_parameters()[0]


def test_dora_gradients(make):
    """The norm is a constant to the gradient in both."""
    ours, theirs = make("bert").eval(), make("bert").model.eval()
    DoRA(rank=2, roles=("query",)).apply(ours)
    theirs = peft.get_peft_model(theirs, peft.LoraConfig(r=2, lora_alpha=16, target_modules=["query"], use_dora=True))
    named = dict(theirs.named_modules())
    pairs = []
    for name, module in ours.model.named_modules():
        if isinstance(module, LowRank):
            layer = named[f"base_model.model.{name.rsplit('.', 1)[0]}"]
            give_the_same_update(module, layer)
            pairs += [(module.down, layer.lora_A["default"].weight), (module.up, layer.lora_B["default"].weight)]
            pairs.append((module.magnitude, layer.lora_magnitude_vector["default"].weight))
    ours.last(**text()).square().sum().backward()
    theirs(**text()).last_hidden_state.square().sum().backward()
    for a, b in pairs:
        assert torch.allclose(a.grad, b.grad, atol=1e-4)


@pytest.mark.parametrize(
    ("family", "target", "feedforward"),
    [
        ("bert", r".*\.(key|value)|.*layer\.\d+\.output\.dense", r".*layer\.\d+\.output\.dense"),
        ("llama", r".*\.(k_proj|v_proj|down_proj)", r".*\.down_proj"),
        ("t5", r".*\.(k|v|wo)", r".*\.wo"),
    ],
)
def test_ia3(make, family, target, feedforward):
    ours, theirs = make(family), make(family).model
    IA3().apply(ours)
    config = peft.IA3Config(target_modules=target, feedforward_modules=feedforward)
    theirs = peft.get_peft_model(theirs, config)
    named = dict(theirs.named_modules())
    for name, module in ours.model.named_modules():
        if isinstance(module, InputScale | OutputScale):
            layer = named[f"base_model.model.{name.rsplit('.', 1)[0]}"]
            nn.init.uniform_(module.scale, 0.5, 1.5)
            layer.ia3_l["default"].data.copy_(module.scale.data.view_as(layer.ia3_l["default"]))
    with torch.no_grad():
        found = ours.eval().last(**text())
    assert torch.allclose(found, states(theirs.eval(), ours), atol=1e-5)
    assert IA3().parameters(make(family)) == theirs.get_nb_trainable_parameters()[0]


@pytest.mark.parametrize(("family", "positions"), [("gpt2", "wpe"), ("bert", "embeddings.position_embeddings")])
def test_prefix(make, family, positions):
    """PEFT shifts the text's positions by the prefix's length: shifted tables of positions make up for that."""
    ours, theirs = make(family), make(family).model
    table = theirs.get_submodule(positions).weight.data
    table[3:] = table[:-3].clone()
    PTuningV2(length=3).apply(ours)
    config = peft.PrefixTuningConfig(num_virtual_tokens=3, task_type="FEATURE_EXTRACTION")
    theirs = peft.get_peft_model(theirs, config)
    prefixes = [module for module in ours.modules() if isinstance(module, KeyValuePrefix)]
    for prefix in prefixes:
        nn.init.normal_(prefix.vectors)
    # PEFT keeps (length, layers x [key, value] x width) in one table
    vectors = torch.cat([vectors for prefix in prefixes for vectors in prefix.vectors], dim=1)
    theirs.prompt_encoder["default"].embedding.weight.data.copy_(vectors)
    with torch.no_grad():
        found = ours.eval().last(**text())
    assert torch.allclose(found, states(theirs.eval(), ours), atol=1e-5)
    assert PTuningV2(length=3).parameters(make(family)) == theirs.get_nb_trainable_parameters()[0]


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_prompt(make, family):
    """PEFT leaves the prompt's states in place; without them its states are ours."""
    ours, theirs = make(family), make(family).model
    PromptTuning(length=4).apply(ours)
    config = peft.PromptTuningConfig(num_virtual_tokens=4, task_type="FEATURE_EXTRACTION")
    theirs = peft.get_peft_model(theirs, config)
    theirs.prompt_encoder["default"].embedding.weight.data.copy_(ours.model.prompt.vectors.data)
    with torch.no_grad():
        found = ours.eval().last(**text())
    assert torch.allclose(found, states(theirs.eval(), ours)[:, 4:], atol=1e-5)
    assert PromptTuning(length=4).parameters(make(family)) == theirs.get_nb_trainable_parameters()[0]


def test_the_prefix_mlp_is_pefts(make):
    """Same MLP, same keys and values; PEFT's one wide output layer is ours cut by layer."""
    backbone = make("bert")
    strategy = PrefixTuning(length=3, hidden=8)
    strategy.apply(backbone)
    config = peft.PrefixTuningConfig(
        num_virtual_tokens=3, task_type="FEATURE_EXTRACTION", prefix_projection=True, encoder_hidden_size=8
    )
    theirs = peft.get_peft_model(make("bert").model, config)
    encoder = theirs.prompt_encoder["default"]
    trunk = backbone.model.prefix_trunk
    outs = [match.module.prefix.out for match in backbone.sites("attention")]
    with torch.no_grad():
        encoder.embedding.weight.copy_(trunk.embedding)
        encoder.transform[0].load_state_dict(trunk.inner.state_dict())
        encoder.transform[2].weight.copy_(torch.cat([out.weight for out in outs]))
        encoder.transform[2].bias.copy_(torch.cat([out.bias for out in outs]))
        expected = encoder(torch.arange(3)[None])[0]  # (length, layers x [key, value] x width)
        found = [match.module.prefix.key_value() for match in backbone.sites("attention")]
    assert torch.allclose(torch.cat([vectors for pair in found for vectors in pair], dim=1), expected, atol=1e-6)
    assert strategy.parameters(make("bert")) == theirs.get_nb_trainable_parameters()[0]

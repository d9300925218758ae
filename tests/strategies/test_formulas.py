"""Each method against its formula, written apart from it."""

from dataclasses import replace
from functools import partial

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lm_lab import adaptation_of, bind
from lm_lab.backbones import Backbone, TransformersBackbone
from lm_lab.data.modules.glue import GLUE
from lm_lab.errors import UsageError
from lm_lab.heads.mix import ScalarMix
from lm_lab.heads.readout import AttentionPooling
from lm_lab.strategies import (
    BitFit,
    Combination,
    DoRA,
    FullFineTuning,
    GradualUnfreezing,
    HoulsbyAdapter,
    LayerNormTuning,
    LoRA,
    ParallelAdapter,
    PartialFineTuning,
    PfeifferAdapter,
    PrefixTuning,
    PromptTuning,
    PTuningV2,
    RandomMask,
    VeRA,
    WeightedFeatures,
)
from lm_lab.strategies.random_mask import SparseUpdate
from lm_lab.tasks import glue_task
from lm_lab.training.optimizers import parameter_groups

IDS = torch.randint(5, 100, (2, 6), generator=torch.Generator().manual_seed(0))
TEXT = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}
WEIGHTS = {"gelu": F.gelu, "relu": F.relu, "tanh": torch.tanh, "silu": F.silu}


def bottleneck(x, delta, f):
    return f(x @ delta.down.weight.T + delta.down.bias) @ delta.up.weight.T + delta.up.bias


def randomise(backbone: Backbone, *names: str) -> None:
    for name, parameter in backbone.named_parameters():
        if any(part in name for part in names):
            nn.init.normal_(parameter, std=0.2)


def bert_layer(layer, x, attended, fed):
    """A BERT layer by hand; `attended` and `fed` rewrite (input, output) of its two sublayers."""
    own = layer.attention.self
    heads = [m(x).view(*x.shape[:2], 2, 16).transpose(1, 2) for m in (own.query, own.key, own.value)]
    mixed = F.scaled_dot_product_attention(*heads).transpose(1, 2).reshape(x.shape)
    out = layer.attention.output
    x = out.LayerNorm(x + attended(x, out.dense(mixed)))
    return layer.output.LayerNorm(x + fed(x, layer.output.dense(F.gelu(layer.intermediate.dense(x)))))


@torch.no_grad()
@pytest.mark.parametrize("activation", WEIGHTS)
@pytest.mark.parametrize(
    "strategy",
    [HoulsbyAdapter(size=4), PfeifferAdapter(size=4), ParallelAdapter(size=4, scale=2.5)],
    ids=lambda strategy: type(strategy).__name__,
)
def test_adapters(make, strategy, activation):
    f = WEIGHTS[activation]
    backbone = make("bert").eval()
    replace(strategy, activation=activation).apply(backbone)
    randomise(backbone, "adapter")
    layer = backbone.model.encoder.layer[0]
    last = layer.output.dropout

    def attended(x, y):
        both = isinstance(strategy, HoulsbyAdapter)
        return y + bottleneck(y, layer.attention.output.dropout.adapter, f) if both else y

    def fed(x, y):
        if isinstance(strategy, ParallelAdapter):
            return y + 2.5 * bottleneck(x, last.parallel_adapter, f)
        return y + bottleneck(y, last.adapter, f)

    before, after = backbone(**TEXT)[:2]
    assert torch.allclose(bert_layer(layer, before, attended, fed), after, atol=1e-5)


def test_lora_of_a_whole_layer_is_one_kernel_and_its_formula(make):
    backbone = make("bert")
    LoRA(rank=4, alpha=6.0).apply(backbone)
    delta = backbone.sites("query")[0].module.lora_query.double()
    nn.init.normal_(delta.up)
    x, y = (torch.randn(2, 3, 32, dtype=torch.double, requires_grad=True) for _ in range(2))
    assert torch.allclose(delta.after(nn.Identity(), x, y), y + 1.5 * (x @ delta.down.T @ delta.up.T))
    assert delta.after(nn.Identity(), x, y).grad_fn.next_functions[0][0].name() == "AddmmBackward0"
    assert torch.autograd.gradcheck(lambda x, y: delta.after(nn.Identity(), x, y), (x, y))
    with torch.autocast("cpu", torch.bfloat16):
        assert delta.float().after(nn.Identity(), x.float(), y.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("strategy", "norms"),
    [
        (partial(HoulsbyAdapter, size=4), True),
        (partial(PfeifferAdapter, size=4), False),
        (partial(ParallelAdapter, size=4), False),
        (partial(LoRA, rank=2, roles="all"), False),
        (partial(DoRA, rank=2), False),
        (partial(VeRA, rank=2), False),
    ],
    ids=lambda value: value.func.__name__ if isinstance(value, partial) else "",
)
def test_the_lowest_blocks_are_left_alone(make, strategy, norms):
    backbone = make("bert")
    strategy(skip=1).apply(backbone)
    trained = {name: p for name, p in backbone.named_parameters() if p.requires_grad}
    assert sum(p.numel() for p in trained.values()) == strategy(skip=1).parameters(make("bert"))
    names = [name for name in trained if not (norms and "LayerNorm" in name)]
    assert names
    assert all("encoder.layer.1." in name for name in names)
    with pytest.raises(UsageError, match="skip=2: give 0 to 1"):
        strategy(skip=2).apply(make("bert"))
    with pytest.raises(UsageError, match="skip=1: give 0 to 0"):
        strategy(skip=1).apply(make("albert"))


@torch.no_grad()
@pytest.mark.parametrize("strategy", [LoRA, DoRA, VeRA])
def test_updates_above_skipped_blocks_merge(make, strategy):
    backbone = make("bert")
    strategy(rank=2, skip=1).apply(backbone)
    for parameter in backbone.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter)
    text = {"input_ids": torch.arange(6, 18).view(2, 6), "attention_mask": torch.ones(2, 6, dtype=torch.long)}
    adapted = backbone.last(**text)
    strategy(rank=2, skip=1).merge(backbone)
    assert torch.allclose(backbone.last(**text), adapted, atol=1e-5)
    assert not any("lora" in name or "vera" in name for name, _ in backbone.named_parameters())


def test_mix_of_layers_by_hand():
    mix = ScalarMix(3)
    states = torch.randn(2, 3, 4)
    assert torch.allclose(mix(states), states.mean(1), atol=1e-6)  # w = 0, gamma = 1
    mix.weights.data, mix.gamma.data = torch.tensor([0.0, 1.0, -1.0]), torch.tensor(3.0)
    shares = torch.tensor([0.0, 1.0, -1.0]).exp() / torch.tensor([0.0, 1.0, -1.0]).exp().sum()
    expected = 3 * sum(share * states[:, layer] for layer, share in enumerate(shares))
    assert torch.allclose(mix(states), expected, atol=1e-5)


def test_normed_mix_takes_one_mean_and_variance_over_real_tokens():
    state, mask = torch.randn(2, 5, 4) * 3 + 1, torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    normed = ScalarMix(1, norm=True).prepare(state, mask)
    for row, length in ((0, 3), (1, 5)):
        real = state[row, :length]
        expected = (real - real.mean()) / real.std(correction=0)
        assert torch.allclose(normed[row, :length], expected, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["cls", "mean", "last"])
def test_weighted_features_equal_pooling_the_mixed_tokens(make, pooling):
    model = adaptation_of(make("bert"), WeightedFeatures(), glue_task("sst2"), pooling=pooling).eval()
    model.model.head.mix.weights.copy_(torch.tensor([0.3, -1.0, 2.0]))
    mixed = torch.einsum(
        "l,lbtd->btd", model.model.head.mix.weights.softmax(0), torch.stack(model.model.backbone(**TEXT))
    )
    expected = {"cls": mixed[:, 0], "mean": mixed.mean(1), "last": mixed[:, -1]}[pooling]
    assert torch.allclose(model.model.head.vector(model.model.features({"texts": [TEXT]})), expected, atol=1e-5)
    assert sum(model.model.layer_weights()) == pytest.approx(1.0)


def test_attention_pooling_by_hand():
    pooling, hidden = AttentionPooling(4), torch.randn(1, 3, 4)
    mask = torch.tensor([[1, 1, 0]])
    assert torch.allclose(pooling(hidden, mask), hidden[:, :2].mean(1), atol=1e-6)
    nn.init.normal_(pooling.query)
    weights = (hidden[0, :2] @ pooling.query / 2).softmax(0)
    assert torch.allclose(pooling(hidden, mask)[0], weights @ hidden[0, :2], atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "modernbert", "gpt2", "llama", "t5", "bart"])
def test_a_prefix_that_no_query_looks_at_changes_nothing(make, family):
    """Keys far against every query get no weight: outputs and positions are the plain model's."""
    backbone, plain = make(family).eval(), make(family).eval()
    PTuningV2(length=3).apply(backbone)
    for match in backbone.sites("attention"):
        match.module.prefix.vectors.zero_()
        match.module.prefix.vectors[1] = 1.0
    visible = backbone.last(**TEXT)
    assert not torch.allclose(visible, plain.last(**TEXT), atol=1e-3)
    mask = {name: module for name, module in backbone.model.named_modules() if hasattr(module, "prefix")}
    for module in mask.values():
        del module._modules["prefix"]  # the same attention function, without a prefix
    assert torch.allclose(backbone.last(**TEXT), plain.last(**TEXT), atol=1e-5)


@torch.no_grad()
def test_a_prefix_by_hand(make):
    """One attention of BERT with the prefix's keys and values in front."""
    backbone = make("bert").eval()
    PTuningV2(length=3).apply(backbone)
    randomise(backbone, "prefix")
    layer = backbone.model.encoder.layer[0]
    own, (key, value) = layer.attention.self, layer.attention.self.prefix.vectors
    x, after = backbone(**TEXT)[:2]
    q, k, v = (m(x) for m in (own.query, own.key, own.value))
    k, v = (torch.cat([p.expand(2, -1, -1), t], 1) for p, t in ((key, k), (value, v)))
    heads = [t.view(2, -1, 2, 16).transpose(1, 2) for t in (q, k, v)]
    mixed = F.scaled_dot_product_attention(*heads).transpose(1, 2).reshape(x.shape)
    x = layer.attention.output.LayerNorm(x + layer.attention.output.dense(mixed))
    expected = layer.output.LayerNorm(x + layer.output.dense(F.gelu(layer.intermediate.dense(x))))
    assert torch.allclose(after, expected, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("family", ["bert", "gpt2", "llama", "t5"])
def test_both_forms_of_prefix_attention_agree(make, family, monkeypatch):
    """The formula, used on a CPU, and torch's fused kernel, used elsewhere."""
    from lm_lab.strategies import prefix

    backbone = make(family).eval()
    PTuningV2(length=3).apply(backbone)
    text = TEXT | {"attention_mask": torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])}
    real = text["attention_mask"].bool()
    plain = backbone.last(**text)[real]
    monkeypatch.setattr(prefix, "PLAIN", ())
    assert torch.allclose(backbone.last(**text)[real], plain, atol=1e-5)


def test_prompt_inits(make):
    torch.manual_seed(0)
    table = make("bert").embeddings.weight
    for init, words in (("vocabulary", ()), ("labels", ("good", "bad day"))):
        backbone = make("bert")
        PromptTuning(length=5, init=init, words=words).apply(backbone)
        vectors = backbone.model.prompt.vectors
        rows = [(table == vector).all(1).any().item() for vector in vectors]
        if init == "vocabulary":
            assert all(rows)
        else:
            ids = [backbone.tokenizer(word, add_special_tokens=False)["input_ids"] for word in words]
            expected = torch.stack([table[pieces].mean(0) for pieces in ids])
            assert torch.allclose(vectors[:2], expected)
            assert all(rows[2:])
    backbone = make("bert")
    PromptTuning(length=50, init="uniform").apply(backbone)
    vectors = backbone.model.prompt.vectors
    assert vectors.abs().max() <= 0.5
    assert vectors.std().item() == pytest.approx(12**-0.5, rel=0.05)


def test_prompt_takes_class_words_from_the_task_and_room_from_the_text(make):
    model = adaptation_of(make("bert"), PromptTuning(length=4, init="labels"), glue_task("sst2"))
    assert model.model.strategy.words == glue_task("sst2").labels
    assert model.model.encoding.max_length == make("bert").max_length - 4
    with pytest.raises(UsageError, match="no class words"):
        adaptation_of(make("bert"), PromptTuning(init="labels"), glue_task("stsb"))
    with pytest.raises(UsageError, match="length=600: this backbone takes 512 tokens"):
        PromptTuning(length=600).apply(make("bert"))


def test_layer_decay_gives_each_block_its_rate(make):
    model = adaptation_of(make("bert"), FullFineTuning(layer_decay=0.5), glue_task("sst2"), learning_rate=1.0)
    optimizer = model.optimizer(parameter_groups(model, 1.0, model.rate_scale), 1.0)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    bert = model.model.backbone.model
    assert rates[id(bert.encoder.layer[1].output.dense.weight)] == 1.0
    assert rates[id(bert.encoder.layer[0].output.dense.weight)] == 0.5
    assert rates[id(bert.embeddings.word_embeddings.weight)] == 0.25
    assert rates[id(model.model.head.scorer.out.weight)] == 1.0
    with pytest.raises(UsageError, match="layer_decay=0"):
        FullFineTuning(layer_decay=0)


def test_gradual_unfreezing_reaches_lower_blocks_later(make):
    seen = []

    class Watch(L.Callback):
        def on_train_batch_start(self, trainer, model, batch, batch_idx):
            trained = [name for name, p in model.model.backbone.model.named_parameters() if p.requires_grad]
            seen.append(sorted({model.model.backbone.depth(name) for name in trained}))

    torch.manual_seed(0)
    model = adaptation_of(make("bert"), GradualUnfreezing(), glue_task("rte"))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    data = GLUE("rte", source="microworld", train_limit=32, validation_limit=8)
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    L.Trainer(max_epochs=3, accelerator="cpu", callbacks=[Watch()], **quiet).fit(model, bind(model.model, data))
    assert seen == [[2], [1, 2], [0, 1, 2]]
    assert all(p.requires_grad for p in model.parameters())
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert "model.backbone.model.embeddings.word_embeddings.weight" in moved


@torch.no_grad()
def test_random_mask_changes_as_many_weights_as_its_model_and_no_others(make):
    backbone, plain = make("bert"), make("bert")
    strategy = RandomMask(like=LoRA(rank=3), seed=1)
    strategy.apply(backbone)
    for module in backbone.modules():
        if isinstance(module, SparseUpdate):
            nn.init.constant_(module.values, 1.0)
    strategy.merge(backbone)
    changed = sum((a != b).sum().item() for a, b in zip(backbone.parameters(), plain.parameters(), strict=True))
    assert changed == LoRA(rank=3).parameters(plain)
    with pytest.raises(UsageError, match="trains 0 parameters"):
        RandomMask(like=WeightedFeatures()).apply(make("bert"))


def test_random_mask_is_its_seeds(make):
    def positions(seed):
        backbone = make("bert")
        RandomMask(seed=seed).apply(backbone)
        return torch.cat([m.positions for m in backbone.modules() if isinstance(m, SparseUpdate)])

    assert torch.equal(positions(0), positions(0))
    assert not torch.equal(positions(0), positions(1))


def test_a_combination_refuses_two_owners_of_a_weight(make):
    with pytest.raises(UsageError, match="BitFit, HoulsbyAdapter train the same weights"):
        Combination([BitFit(), HoulsbyAdapter(size=4)]).apply(make("bert"))
    Combination([BitFit(), HoulsbyAdapter(size=4, norms=False)]).apply(make("bert"))
    with pytest.raises(UsageError, match="needs two or more"):
        Combination([LoRA()])


def test_partial_counts_from_below_with_a_negative_number(make):
    top, lowest = make("bert"), make("bert")
    PartialFineTuning(blocks=1).apply(top)
    PartialFineTuning(blocks=-1).apply(lowest)
    names = [{name for name, p in backbone.named_parameters() if p.requires_grad} for backbone in (top, lowest)]
    assert names[0] == names[1]


@pytest.fixture(scope="module")
def bert_base(tmp_path_factory) -> Backbone:
    from transformers import BertConfig

    path = tmp_path_factory.mktemp("bert") / "config.json"
    BertConfig().to_json_file(path)
    with torch.device("meta"):
        return TransformersBackbone(str(path))


@pytest.mark.parametrize(
    ("strategy", "published"),
    [
        (PfeifferAdapter(size=48), 894_528),
        (LayerNormTuning(), 38_400),
        (PTuningV2(length=30), 552_960),
        (PrefixTuning(length=30), 9_872_384),
        (PromptTuning(length=10), 7_680),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, int) else "",
)
def test_published_counts(bert_base, strategy, published):
    assert strategy.parameters(bert_base) == published


@pytest.mark.parametrize(("rank", "published"), [(1024, 43_008), (256, 24_576)])  # 0.043M in the paper's table 2
def test_published_count_of_vera(bert_base, rank, published):
    from lm_lab.strategies import VeRA

    assert VeRA(rank=rank).parameters(bert_base) == published


def test_published_count_of_ia3(bert_base):
    from lm_lab.strategies import IA3

    assert IA3().parameters(bert_base) == 55_296

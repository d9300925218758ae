"""A strategy that finds nothing of its own in a backbone is refused, rather than train the head alone by its name."""

import json

import pytest
import transformers
from torch import nn
from transformers import AutoModel

from lm_lab import AdaptedModel
from lm_lab import strategies as s
from lm_lab.backbones import TransformersBackbone
from lm_lab.cli import main
from lm_lab.data import microworld
from lm_lab.doctor.examine import examine
from lm_lab.doctor.examples import EXAMPLES
from lm_lab.errors import UsageError
from lm_lab.tasks import glue_task

# what works without a block, since it trains the embeddings, adds to them, or means the head alone
WITHOUT_BLOCKS = {
    *("FullFineTuning", "FullFineTuning, layer decay", "GradualUnfreezing", "LinearProbe", "MLPProbe"),
    *("WeightedFeatures", "WeightedFeatures, normed and unfrozen", "BitFit", "LayerNormTuning", "PromptTuning"),
    *("PromptTuning, class words", "FeatureBased"),
}
HEADS = {"LinearProbe", "MLPProbe", "WeightedFeatures", "FeatureBased"}


@pytest.fixture
def no_blocks(tmp_path):
    """A BERT of embeddings alone."""
    tokenizer = microworld.tokenizer()
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=0, num_attention_heads=2, intermediate_size=64
    )
    AutoModel.from_config(config).save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_strategy_trains_something_or_says_that_it_cannot(no_blocks, name):
    strategy, backbone = EXAMPLES[name], TransformersBackbone(str(no_blocks))
    if name not in WITHOUT_BLOCKS:
        with pytest.raises(UsageError, match=r"cannot adapt this bert|has nothing to train|skip=|blocks="):
            AdaptedModel(backbone, strategy, glue_task("sst2"))
        return
    model = AdaptedModel(backbone, strategy, glue_task("sst2"))
    assert any(key.startswith("backbone.") for key in model.trained) == (name not in HEADS)


@pytest.mark.parametrize(
    ("strategy", "looked_for"),
    [
        (s.LoRA(roles="all"), r"linear layers of the blocks \(qkv, query.* roles here are embeddings, norm"),
        (s.DoRA(roles="all"), "linear layers"),
        (s.RandomMask(like=s.LayerNormTuning()), "linear layers"),
        (s.LoRA(), "no site for the role 'query': it has no blocks; it has: embeddings, norm"),
        (s.IA3(), "no site for the role 'key': it has no blocks; it has: embeddings, norm"),
        (s.PfeifferAdapter(), "no site for the role 'mlp_residual': it has no blocks; it has: embeddings, norm"),
        (s.ParallelAdapter(), "no site for the role 'mlp_in': it has no blocks; it has: embeddings, norm"),
        (s.PTuningV2(), "no site for the role 'value': it has no blocks; it has: embeddings, norm"),
    ],
)
def test_the_line_names_strategy_roles_and_what_there_is(no_blocks, strategy, looked_for):
    with pytest.raises(UsageError, match=f"^{type(strategy).__name__} .* this bert: .*{looked_for}"):
        AdaptedModel(TransformersBackbone(str(no_blocks)), strategy, glue_task("sst2"))


def test_a_part_of_a_combination_is_not_left_idle(no_blocks):
    both = s.Combination([s.LoRA(roles="all"), s.LayerNormTuning()])
    with pytest.raises(UsageError, match="LoRA has nothing to train"):
        AdaptedModel(TransformersBackbone(str(no_blocks)), both, glue_task("sst2"))


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_without_a_bias(make, family):
    with pytest.raises(UsageError, match=f"BitFit has nothing to train in this {family}: it looks for biases"):
        AdaptedModel(make(family), s.BitFit(), glue_task("sst2"))


def test_norms_without_weights(make):
    backbone = make("bert")
    for match in backbone.sites("norm"):
        parent, _, name = match.name.rpartition(".")
        plain = nn.LayerNorm(32, elementwise_affine=False)
        setattr(backbone.model.get_submodule(parent), name, plain)
    with pytest.raises(UsageError, match=r"LayerNormTuning has nothing to train .* norms with weights"):
        AdaptedModel(backbone, s.LayerNormTuning(), glue_task("sst2"))


def test_the_head_alone_is_a_choice(make):
    for strategy in (s.PartialFineTuning(blocks=0), s.LinearProbe(), s.WeightedFeatures()):
        assert all(name.startswith("head.") for name in AdaptedModel(make(), strategy, glue_task("sst2")).trained)
    with pytest.raises(UsageError, match="PartialFineTuning has nothing to train"):
        AdaptedModel(make(), s.PartialFineTuning(blocks=-2), glue_task("sst2"))


def test_the_doctor_says_so(no_blocks, capsys):
    (row,) = examine(TransformersBackbone(str(no_blocks)), "LoRA", s.LoRA(roles="all"))
    assert row.refused
    assert (
        main(["doctor", "--backbone", str(no_blocks), "--strategy", "LoRA", "--strategy.roles", "all", "--json"]) == 0
    )
    (told,) = json.loads(capsys.readouterr().out)
    assert told["detail"].startswith("refused: LoRA has nothing to train in this bert")

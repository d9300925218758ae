"""The output layer gives the logits of `transformers`' own language models."""

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_models import CONFIGS
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from lm_lab.backbones import Backbone, TransformersBackbone
from lm_lab.backbones.language import LanguageOutput, next_token_loss
from lm_lab.data import microworld
from lm_lab.errors import UsageError

SIZE = len(microworld.tokenizer())
IDS = torch.tensor([[5, 9, 31, 8, 3], [7, 6, 40, 3, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]])
STORY = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park."


def saved(folder: Path, family: str, **settings: Any) -> Any:
    """A random language model of a family, with its output layer, in a folder."""
    kind, own = CONFIGS[family]
    config = getattr(transformers, kind)(vocab_size=SIZE, **own, **settings)
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    model = auto.from_config(config).eval()
    if family == "bart":
        model.final_logits_bias.normal_()
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("gpt2", {}),
        ("llama", {"tie_word_embeddings": True}),
        ("llama", {"tie_word_embeddings": False}),
        ("t5", {}),
        ("bart", {}),
    ],
    ids=["gpt2", "llama", "llama untied", "t5", "bart"],
)
def test_the_logits_are_those_of_transformers(tmp_path: Path, family: str, settings: dict[str, Any]) -> None:
    theirs = saved(tmp_path, family, **settings)
    backbone = TransformersBackbone(str(tmp_path)).eval()
    inputs = {"input_ids": IDS, "attention_mask": MASK}
    with torch.no_grad():
        logits = LanguageOutput(backbone)(backbone.last(**inputs))
        if theirs.config.is_encoder_decoder:
            inputs["decoder_input_ids"] = backbone._inputs(inputs)["decoder_input_ids"]
        expected = theirs(**inputs).logits
    assert logits.shape == (2, 5, SIZE)
    real = MASK.bool()
    assert torch.allclose(logits[real], expected[real], atol=1e-5)


def test_an_output_layer_of_its_own_is_read_from_the_checkpoint(tmp_path: Path) -> None:
    """As T5 1.1 has it: the output is neither tied nor scaled."""
    saved(tmp_path, "t5")
    tensors = load_file(tmp_path / "model.safetensors")
    weight = torch.randn_like(tensors["shared.weight"])
    save_file(tensors | {"lm_head.weight": weight}, tmp_path / "model.safetensors", {"format": "pt"})
    config = json.loads((tmp_path / "config.json").read_text())
    del config["scale_decoder_outputs"]  # which checkpoints of its time do not have
    (tmp_path / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    backbone = TransformersBackbone(str(tmp_path)).eval()
    output, states = LanguageOutput(backbone), torch.randn(2, 3, 32)
    assert torch.allclose(output(states), states @ weight.T, atol=1e-5)
    inputs = backbone._inputs({"input_ids": IDS[:1]})
    expected = AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()(**inputs).logits
    assert torch.allclose(output(backbone.last(input_ids=IDS[:1])), expected, atol=1e-5)


def test_a_pickled_checkpoint_is_read_without_unpickling(tmp_path: Path) -> None:
    theirs = saved(tmp_path, "llama", tie_word_embeddings=False)
    (tmp_path / "model.safetensors").unlink()
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    output = LanguageOutput(TransformersBackbone(str(tmp_path)))
    assert torch.equal(output.weight, theirs.lm_head.weight)  # type: ignore[arg-type]


def test_it_owns_nothing_and_follows_the_embeddings(make: Callable[..., Backbone]) -> None:
    backbone = make("gpt2")
    output = LanguageOutput(backbone)
    assert (list(output.parameters()), output.state_dict()) == ([], {})
    states = torch.randn(1, 2, 32)
    before = output(states)
    with torch.no_grad():
        backbone.embeddings.get_parameter("weight").mul_(2)
    assert torch.allclose(output(states), 2 * before)
    pair = copy.deepcopy(torch.nn.ModuleList([backbone, output]))
    assert pair[1].embeddings[0] is pair[0].embeddings  # type: ignore[union-attr,index]


def test_weights_that_lack_their_own_output_layer_are_refused(make: Callable[..., Backbone]) -> None:
    with pytest.raises(UsageError, match=r"have no lm_head.weight, and their configuration says that it is not"):
        LanguageOutput(make("llama"))
    random = LanguageOutput(make("llama", pretrained=False))
    assert random.weight is not None


def test_an_encoder_is_refused(make: Callable[..., Backbone]) -> None:
    with pytest.raises(UsageError, match="bert is an encoder: it predicts no next token"):
        LanguageOutput(make("bert"))


def test_the_loss_is_of_real_tokens_given_those_before(make: Callable[..., Backbone]) -> None:
    backbone = make("gpt2").eval()
    output = LanguageOutput(backbone)
    states = backbone.last(input_ids=IDS, attention_mask=MASK)
    steps = [(row, i) for row in range(2) for i in range(1, 5) if MASK[row, i]]
    losses = [F.cross_entropy(output(states[row, i - 1]), IDS[row, i]) for row, i in steps]
    assert next_token_loss(output, states, IDS, MASK).item() == pytest.approx(torch.stack(losses).mean().item())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_story_is_no_surprise_to_a_model_of_stories(real_data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LM_LAB_DATA", real_data)
    losses = []
    for pretrained in (True, False):
        try:
            backbone = TransformersBackbone("stories15M", pretrained=pretrained).eval()
        except UsageError:
            pytest.skip("needs stories15M beside the real data")
        text = backbone.tokenizer(STORY, return_tensors="pt")
        with torch.no_grad():
            states = backbone.last(**text)
            losses.append(next_token_loss(LanguageOutput(backbone), states, *text.values()).item())
    assert losses[0] < 2.0
    assert losses[1] == pytest.approx(math.log(32_000), abs=0.5)

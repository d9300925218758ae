from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from learning import first_and_last, texts
from tiny_models import CONFIGS
from transformers import AutoModelForCausalLM

from lm_lab.backbones import Backbone, TransformersBackbone
from lm_lab.data import microworld
from lm_lab.errors import UsageError
from lm_lab.objectives import CausalLM
from lm_lab.scoring.output import likelihood
from lm_lab.training import pretrained

Make = Callable[..., Backbone]
DECODERS = ("gpt2", "llama")


def saved(family: str, folder: Path) -> Path:
    """A folder with a whole language model, output layer and all."""
    kind, settings = CONFIGS[family]
    tokenizer = microworld.tokenizer()
    config = getattr(transformers, kind)(vocab_size=len(tokenizer), **settings)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", DECODERS)
def test_loss_equals_that_of_transformers(family: str, tmp_path: Path) -> None:
    folder = saved(family, tmp_path / family)
    theirs, backbone = AutoModelForCausalLM.from_pretrained(folder).eval(), TransformersBackbone(str(folder)).eval()
    batch = texts(backbone)
    assert not batch["attention_mask"].all()
    assert batch["token_type_ids"].any()
    ids, mask = batch["input_ids"], batch["attention_mask"]
    with torch.no_grad():
        expected = theirs(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(mask == 0, -100)).loss
        loss = CausalLM(backbone).eval()(backbone, batch)
    assert loss.total.item() == pytest.approx(expected.item(), abs=1e-5)
    assert loss.parts == {"causal_lm": loss.total}


@pytest.mark.parametrize("family", DECODERS)
def test_the_last_token_is_only_a_target(make: Make, family: str) -> None:
    backbone = make(family, pretrained=False).eval()
    objective = CausalLM(backbone).eval()
    ids = torch.randint(5, 200, (1, 9))
    states = backbone.last(input_ids=ids, attention_mask=torch.ones_like(ids))
    scores = objective.output(states[:, :-1]).log_softmax(-1)
    for token in (7, 20):
        ids[0, -1] = token  # no state that predicts has seen it, so the loss is its entry of the same scores
        expected = -scores.gather(-1, ids[:, 1:, None]).mean()
        loss = objective(backbone, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}).total
        assert loss.item() == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize("family", DECODERS)
def test_padding_changes_nothing(make: Make, family: str) -> None:
    backbone = make(family, pretrained=False).eval()
    objective = CausalLM(backbone).eval()
    ids = torch.randint(5, 200, (2, 9))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    padded = {name: torch.nn.functional.pad(value, (0, 4)) for name, value in batch.items()}
    assert objective(backbone, padded).total.item() == pytest.approx(objective(backbone, batch).total.item(), abs=1e-5)


def test_an_output_layer_of_its_own_trains_and_a_tied_one_is_the_backbones(make: Make) -> None:
    assert not list(CausalLM(make("gpt2")).parameters())
    backbone = make("llama", pretrained=False)
    objective = CausalLM(backbone)
    objective(backbone, texts(backbone)).total.backward()
    (weight,) = objective.parameters()
    assert weight.grad is not None
    assert list(objective.state_dict()) == ["output.weight"]


@pytest.mark.parametrize("family", DECODERS)
def test_it_learns(make: Make, family: str) -> None:
    backbone = make(family, pretrained=False)
    first, last = first_and_last(CausalLM(backbone), backbone)
    assert last < first - 1.5


def test_what_it_cannot_use_is_refused(make: Make) -> None:
    with pytest.raises(UsageError, match=r"bert sees both sides.*needs a decoder"):
        CausalLM(make("bert"))


def test_an_output_layer_that_was_trained_here_scores_and_trains_on(make: Make, tmp_path: Path) -> None:
    backbone = make("llama", pretrained=False)
    assert not backbone.config.tie_word_embeddings
    objective = CausalLM(backbone)
    out = pretrained.save(backbone, tmp_path / "out", {"steps": 1}, heads=objective.state_dict())
    again = TransformersBackbone(str(out))
    assert torch.equal(likelihood(again).output.weight, objective.output.weight)
    assert torch.equal(CausalLM(again).output.weight, objective.output.weight)

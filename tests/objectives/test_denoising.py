"""What every objective over an encoder-decoder keeps to."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from learning import first_and_last, texts

from lm_lab.backbones import Backbone, TransformersBackbone
from lm_lab.errors import UsageError
from lm_lab.objectives import (
    BART,
    MASS,
    BertStyle,
    Deshuffling,
    DropTokens,
    MassStyle,
    PrefixLM,
    ReplaceSpans,
    SpanCorruption,
)
from lm_lab.objectives.denoising.denoising import Denoising

Make = Callable[..., Backbone]
OBJECTIVES: dict[str, tuple[type[Denoising], dict[str, Any]]] = {
    "span_corruption": (SpanCorruption, {"sentinels": 8, "roll": True}),
    "prefix_lm": (PrefixLM, {}),
    "bert_style": (BertStyle, {}),
    "deshuffling": (Deshuffling, {}),
    "mass_style": (MassStyle, {}),
    "replace_spans": (ReplaceSpans, {"sentinels": 8}),
    "drop_tokens": (DropTokens, {}),
    "bart": (BART, {}),
    "bart_all": (BART, {"masking": 0.1, "deletion": 0.1, "rotation": True}),
    "mass": (MASS, {}),
}
FAMILIES = ("t5", "bart")
pytestmark = pytest.mark.parametrize("name", OBJECTIVES)


@pytest.fixture
def room(folders: dict[str, Path], tmp_path: Path) -> Make:
    """A tiny backbone with random weights and eight ids that no token has."""

    def made(family: str) -> Backbone:
        folder = shutil.copytree(folders[family], tmp_path / family, ignore=shutil.ignore_patterns("*.safetensors"))
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"vocab_size": config["vocab_size"] + 8}))
        return TransformersBackbone(str(folder))

    return made


def made(name: str, backbone: Backbone) -> Denoising:
    kind, options = OBJECTIVES[name]
    return kind(backbone, **options)


def same(first: Any, second: Any) -> bool:
    return all(torch.equal(one[key], other[key]) for one, other in zip(first, second, strict=True) for key in one)


def test_noise_is_a_function_of_its_generator_and_leaves_its_input_alone(room: Make, name: str) -> None:
    backbone = room("bart")
    objective, batch = made(name, backbone), texts(backbone)
    before = {key: value.clone() for key, value in batch.items()}
    first, again = (objective.corrupt(batch, torch.Generator().manual_seed(3)) for _ in range(2))
    assert same(first, again)
    assert not same([first[0]], [objective.corrupt(batch, torch.Generator().manual_seed(4))[0]])
    assert same([batch], [before])


def test_every_row_ends_and_has_a_target_and_specials_stay_out_of_the_noise(room: Make, name: str) -> None:
    backbone = room("bart")
    objective, batch = made(name, backbone), texts(backbone)
    source, target = objective.corrupt(batch)
    tokenizer = backbone.tokenizer
    words = [set(row.tolist()) - set(tokenizer.all_special_ids) for row in batch["input_ids"]]
    for text in (source, target):
        for ids, mask, own in zip(text["input_ids"], text["attention_mask"].bool(), words, strict=True):
            real = ids[mask].tolist()
            assert real.count(objective.end) == (0 if name == "mass" and text is target else 1)
            assert tokenizer.pad_token_id not in real
            unread = {objective.end} if name == "mass" else set()
            assert set(ids[~mask].tolist()) <= {tokenizer.pad_token_id, *own, *unread}
    assert (source["input_ids"][:, 0] == tokenizer.cls_token_id).all()
    assert (target["attention_mask"].sum(1) >= 2).all()


def test_a_text_without_words_and_one_of_one_word_are_read(room: Make, name: str) -> None:
    backbone = room("t5").eval()
    objective = made(name, backbone).eval()
    batch = dict(backbone.tokenizer(["", "good"], padding=True, return_tensors="pt"))
    assert objective(backbone, batch).total.isfinite()
    assert backbone.tokenizer.convert_tokens_to_ids("good") in objective.corrupt(batch)[1]["input_ids"][1]


@pytest.mark.parametrize("family", FAMILIES)
def test_no_target_is_seen_by_the_state_that_predicts_it(room: Make, name: str, family: str) -> None:
    backbone = room(family).eval()
    objective = made(name, backbone).eval()
    source, target = objective.corrupt(texts(backbone, 4), torch.Generator().manual_seed(0))
    real = target["attention_mask"].bool()
    other = dict(target)
    last = real.long().cumsum(1).argmax(1)
    middle = torch.stack([row.nonzero().flatten()[row.sum() // 2] for row in real])
    for place in (last, middle):
        other["input_ids"] = target["input_ids"].scatter(1, place[:, None], 9)
        with torch.no_grad():
            first, second = (objective.states(backbone, source, text) for text in (target, other))
        unseen = torch.arange(real.shape[1]) <= place[:, None]
        assert torch.allclose(first[unseen & real], second[unseen & real], atol=1e-5)
        behind = real & (torch.arange(real.shape[1]) == place[:, None] + 1)
        assert not behind.any() or not torch.allclose(first[behind], second[behind], atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_changes_nothing(room: Make, name: str, family: str) -> None:
    backbone = room(family).eval()
    objective = made(name, backbone).eval()
    source, target = objective.corrupt(texts(backbone, 8), torch.Generator().manual_seed(0))
    together = objective.states(backbone, source, target)
    row = int(target["attention_mask"].sum(1).argmin())
    alone = []
    for text in (source, target):
        keep = text["attention_mask"][row].nonzero().max() + 1
        alone.append({key: value[row : row + 1, :keep] for key, value in text.items()})
    real = target["attention_mask"][row].bool()
    found = objective.states(backbone, *alone)[0][real[: alone[1]["input_ids"].shape[1]]]
    assert torch.allclose(found, together[row][real], atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_learns_and_only_the_backbone_does(room: Make, name: str, family: str) -> None:
    backbone = room(family)
    objective = made(name, backbone)
    assert not list(objective.parameters())
    first, last = first_and_last(objective, backbone, steps=25, rate=5e-3)
    assert last < first - 0.8


def test_a_text_that_the_model_has_no_places_for_is_cut_and_still_ends(room: Make, name: str) -> None:
    backbone = room("bart")
    objective = made(name, backbone)
    ids = torch.randint(10, 100, (2, backbone.max_length + 3))
    text = objective.with_special_tokens((ids, torch.arange(ids.shape[1]) < torch.tensor([[5], [ids.shape[1]]])))
    assert text["attention_mask"].sum(1).tolist() == [6, backbone.max_length]
    assert text["input_ids"][0, :7].tolist() == [*ids[0, :5].tolist(), objective.end, objective.pad]
    assert text["input_ids"][1].tolist() == [*ids[1, : backbone.max_length - 1].tolist(), objective.end]


def test_a_batch_in_eval_mode_always_gets_the_same_noise_and_in_train_mode_never(room: Make, name: str) -> None:
    backbone = room("t5").eval()
    objective, batch = made(name, backbone).eval(), texts(backbone)
    with torch.no_grad():
        assert objective(backbone, batch).total == objective(backbone, batch).total
        assert list(objective(backbone, batch).parts) == [objective.name]
        objective.train()
        assert objective(backbone, batch).total != objective(backbone, batch).total


def test_other_backbones_are_refused(make: Make, name: str) -> None:
    for family in ("bert", "gpt2"):
        with pytest.raises(UsageError, match=f"needs an encoder-decoder .*; {family} is none"):
            made(name, make(family))

"""Maskings inside MaskedLM: entities, given units, static masks, learning."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives import (
    EntityMasking,
    MaskedLM,
    Masking,
    NGramMasking,
    SpanMasking,
    TokenMasking,
    WholeWordMasking,
)
from lm_lab.objectives.masked.noise import IGNORED
from lm_lab.objectives.masked.phrases import find_phrases

Make = Callable[..., Backbone]
TEXTS = ["the beast was good and the plant was poor .", "the plant was good .", "it was poor and awful ."]


def encode(backbone: Backbone, texts: list[str]) -> dict[str, Tensor]:
    return dict(backbone.tokenizer(texts, padding=True, return_tensors="pt"))


@pytest.mark.parametrize("masking", [TokenMasking, WholeWordMasking, NGramMasking, SpanMasking, EntityMasking])
def test_every_masking_spares_special_tokens_and_gives_every_row_a_target(
    make: Make, masking: Callable[[], Masking]
) -> None:
    backbone = make("bert")
    objective = MaskedLM(backbone, masking=masking())
    batch = encode(backbone, TEXTS)
    before = {name: value.clone() for name, value in batch.items()}
    corrupted, targets, units = objective.corrupt(batch)
    special = torch.isin(batch["input_ids"], torch.tensor(backbone.tokenizer.all_special_ids))
    assert torch.equal(corrupted[special], batch["input_ids"][special])
    assert (targets[special] == IGNORED).all()
    assert (targets != IGNORED).any(dim=1).all()
    assert torch.equal(targets != IGNORED, units >= 0)
    assert all(torch.equal(batch[name], before[name]) for name in batch)
    assert not objective.corrupt.state_dict()  # nothing but the vocabulary, which comes with the tokenizer


@pytest.mark.parametrize("masking", [WholeWordMasking, NGramMasking, SpanMasking])
def test_a_tiny_model_learns(make: Make, masking: Callable[[], Masking]) -> None:
    backbone = make("bert", dropout=0.0)
    objective = MaskedLM(backbone, masking=masking())
    optimizer = torch.optim.Adam([*backbone.parameters(), *objective.parameters()], lr=5e-3)
    batch = encode(backbone, TEXTS * 8)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = objective(backbone, batch).total
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) / 5 < 0.6 * losses[0]


def test_phrases_are_found_whole_words_only() -> None:
    ids = torch.tensor([[1, 7, 8, 2, 7, 8, 9, 7], [7, 8, 7, 8, 5, 6, 5, 8]])
    continues = torch.tensor([[0, 0, 0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0, 0, 1]]).bool()
    covered, inside = find_phrases(ids, continues, [torch.tensor([[7, 8]]), torch.tensor([[5, 6, 5]])])
    assert covered.int().tolist() == [[0, 1, 1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0]]
    assert inside.int().tolist() == [[0, 0, 1, 0, 0, 0, 0, 0], [0, 1, 0, 1, 0, 0, 0, 0]]


def test_entities_come_first_and_whole(make: Make) -> None:
    backbone = make("bert")
    objective = MaskedLM(backbone, 0.4, EntityMasking(["the plant", "good and the"])).eval()
    batch = encode(backbone, ["the beast was good and the plant was poor .", "it was the plant . yes and no and no ."])
    _, _, units = objective.corrupt(batch)
    assert units[0, :12].tolist() == [-1, -1, -1, -1, 0, 0, 0, 0, -1, -1, -1, -1]  # the two overlap: one entity
    plant = backbone.tokenizer.convert_tokens_to_ids("plant")
    at = int((batch["input_ids"][1] == plant).nonzero())
    assert units[1, at - 1 : at + 1].tolist() == [0, 0]
    assert (units[1] >= 0).sum() == round(0.4 * 11) == 4  # and two words more


def test_units_of_the_batch_replace_the_phrases(make: Make) -> None:
    backbone = make("bert").eval()
    objective = MaskedLM(backbone, 0.4, EntityMasking(["the beast"])).eval()
    batch = encode(backbone, ["the beast was good ."])  # with [CLS] and [SEP]
    batch["units"] = torch.tensor([[0, 0, 0, 1, 1, 0, 0]])
    assert (objective.corrupt(batch).units >= 0).int().tolist() == [[0, 0, 0, 1, 1, 0, 0]]
    batch["units"] = torch.tensor([[0, 1, 1, 2, 2, 0, 0]])  # neighbours, of which the budget has room for one
    found = objective.corrupt(batch).units[0].tolist()
    assert found in ([-1, 0, 0, -1, -1, -1, -1], [-1, -1, -1, 0, 0, -1, -1])
    assert objective(backbone, batch).total.isfinite()


def test_static_masks_are_a_function_of_the_row_and_the_duplicate(make: Make) -> None:
    backbone = make("bert")
    objective = MaskedLM(backbone, static=3).train()
    alone = encode(backbone, TEXTS[1:2])
    seen = {tuple(objective.corrupt(alone).targets[0].tolist()) for _ in range(40)}
    assert 1 < len(seen) <= 3
    size = alone["input_ids"].shape[1]
    for _ in range(10):  # the same in another batch, with padding
        assert tuple(objective.corrupt(encode(backbone, TEXTS)).targets[1, :size].tolist()) in seen
    single = MaskedLM(backbone, static=1).train()
    first, second = (single.corrupt(encode(backbone, TEXTS)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_static_masks_of_a_row_without_tokens_hide_nothing(make: Make) -> None:
    backbone = make("bert")
    batch = encode(backbone, TEXTS)
    batch["attention_mask"][1] = 0
    _, targets, units = MaskedLM(backbone, masking=SpanMasking(), static=2).train().corrupt(batch)
    assert (targets[1] == IGNORED).all()
    assert (units >= 0).any(dim=1).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda backbone: MaskedLM(backbone, static=-1), "static=-1.*expected"),
        (lambda backbone: NGramMasking(0), "longest=0.*1 or more"),
        (lambda backbone: NGramMasking(10**12), "longest=1000000000000.*65,536 at most"),
        (lambda backbone: SpanMasking(p=1.0), "p=1.0.*between 0 and 1"),
        (lambda backbone: MaskedLM(backbone, masking=EntityMasking(["xylophone"])), "'xylophone'.*unknown"),
        (lambda backbone: MaskedLM(backbone, masking=EntityMasking([""])), "empty"),
    ],
)
def test_bad_settings_are_refused(make: Make, build: Callable[[Backbone], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(make("bert"))


def test_a_phrase_may_fill_a_row_and_end_it() -> None:
    row, continues = torch.tensor([[7, 8, 9]]), torch.zeros(1, 3, dtype=torch.bool)
    for phrase in ([[7, 8, 9]], [[8, 9]]):
        covered, inside = find_phrases(row, continues, [torch.tensor(phrase)])
        assert covered.sum() == len(phrase[0])
        assert covered[0, -1]
        assert inside.sum() == len(phrase[0]) - 1


def test_words_outside_entities_come_one_by_one(make: Make) -> None:
    backbone = make("bert")
    masking = EntityMasking(["the beast"])
    masking.prepare(backbone.tokenizer)
    batch = encode(backbone, ["it was good and it was poor and it was awful"] * 200)
    eligible = ~torch.isin(batch["input_ids"], torch.tensor(backbone.tokenizer.all_special_ids))
    units = masking(batch["input_ids"], eligible, 0.5)
    assert all(row[row >= 0].bincount().max() == 1 for row in units)
    assert not [name for name in masking.state_dict() if name.startswith("phrases")]

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from learning import first_and_last
from transformers import BertConfig, BertForMaskedLM

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives import MaskedLM
from lm_lab.objectives.masked.noise import IGNORED, choose, hide, number

MASK = 4
Make = Callable[..., Backbone]


def rows(*lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    eligible = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return torch.randint(10, 100, eligible.shape), eligible


def mask_tokens(
    ids: torch.Tensor, eligible: torch.Tensor, replacements: torch.Tensor, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = generator(seed)
    units = number(choose(eligible, 0.15, drawn))
    return hide(ids, units, replacements, MASK, shares=(0.8, 0.1), per_unit=False, generator=drawn)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("probability", [0.15, 0.4, 1.0])
def test_each_row_gets_its_exact_share_and_at_least_one(probability: float) -> None:
    lengths = (1, 2, 3, 7, 20, 101)
    chosen = choose(rows(*lengths)[1], probability, generator())
    assert chosen.sum(dim=1).tolist() == [max(1, round(probability * n)) for n in lengths]
    assert not chosen[~rows(*lengths)[1]].any()


def test_a_row_without_words_gets_no_target() -> None:
    eligible = torch.tensor([[False, False], [True, False]])
    assert choose(eligible, 0.15).tolist() == [[False, False], [True, False]]


def test_every_position_is_equally_likely() -> None:
    counts = choose(torch.ones(40_000, 10, dtype=torch.bool), 0.2, generator()).float().mean(dim=0)
    assert torch.allclose(counts, torch.full((10,), 0.2), atol=0.01)  # 5 standard errors


def test_actions_are_80_10_10_and_replacements_are_drawn_from_the_given_ids() -> None:
    ids, eligible = rows(*[20] * 5000)
    replacements = torch.tensor([200, 201])
    corrupted, targets = mask_tokens(ids, eligible, replacements)
    chosen = targets != IGNORED
    assert chosen.sum() == 5000 * 3
    assert torch.equal(corrupted[~chosen], ids[~chosen])
    assert torch.equal(targets[chosen], ids[chosen])
    seen = corrupted[chosen]
    shares = [(seen == MASK), torch.isin(seen, replacements), (seen == ids[chosen])]
    for share, expected in zip(shares, (0.8, 0.1, 0.1), strict=True):
        assert share.float().mean().item() == pytest.approx(expected, abs=0.015)  # 5 standard errors
    assert {200, 201} <= set(seen.tolist())


def test_noise_is_a_function_of_its_generator_and_leaves_its_input_alone() -> None:
    ids, eligible = rows(12, 30)
    before = ids.clone()
    first, again, other = (mask_tokens(ids, eligible, torch.arange(10, 100), seed) for seed in (3, 3, 4))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])
    assert torch.equal(ids, before)


def test_special_tokens_are_never_hidden_nor_drawn(make: Make) -> None:
    backbone = make("bert")
    objective = MaskedLM(backbone, probability=1.0)
    special = torch.tensor(backbone.tokenizer.all_special_ids)
    assert not torch.isin(objective.corrupt.replacements, special).any()
    assert len(objective.corrupt.replacements) + len(special) == len(backbone.tokenizer)
    batch = backbone.tokenizer(["the beast was good .", "it was"], ["good ?", "yes"], padding=True, return_tensors="pt")
    corrupted, targets, _ = objective.corrupt(batch)
    kept = torch.isin(batch["input_ids"], special)
    assert torch.equal(corrupted[kept], batch["input_ids"][kept])
    assert torch.equal(targets == IGNORED, kept)


def reference(backbone: Backbone, objective: MaskedLM) -> BertForMaskedLM:
    """The same weights in the masked language model of `transformers`."""
    model = BertForMaskedLM(BertConfig.from_dict(backbone.config.to_dict())).eval()
    model.bert.load_state_dict(backbone.model.state_dict())
    head = model.cls.predictions
    head.transform.dense.load_state_dict(objective.head.dense.state_dict())
    head.transform.LayerNorm.load_state_dict(objective.head.norm.state_dict())
    head.bias.data.copy_(objective.head.bias.data)
    return model


def test_loss_equals_that_of_transformers(make: Make) -> None:
    backbone = make("bert").eval()
    objective = MaskedLM(backbone).eval()
    torch.nn.init.normal_(objective.head.bias)
    batch = dict(backbone.tokenizer(["the beast was good .", "it was poor"], padding=True, return_tensors="pt"))
    corrupted, targets, _ = objective.corrupt(batch)
    with torch.no_grad():
        loss = objective(backbone, batch)
        expected = reference(backbone, objective)(**{**batch, "input_ids": corrupted}, labels=targets)
    assert loss.total.item() == pytest.approx(expected.loss.item(), abs=1e-5)
    assert loss.parts == {"masked_lm": loss.total}
    chosen = targets != IGNORED
    right = (expected.logits.argmax(-1)[chosen] == targets[chosen]).float().mean()
    assert loss.metrics["accuracy"].item() == pytest.approx(right.item())


def test_decoder_is_tied_and_its_gradient_reaches_the_embeddings(make: Make) -> None:
    backbone = make("bert").train()
    objective = MaskedLM(backbone).train()
    embeddings = backbone.model.get_input_embeddings().weight
    assert all(parameter is not embeddings for parameter in objective.parameters())
    batch = dict(backbone.tokenizer(["the beast was good ."], return_tensors="pt"))
    objective(backbone, batch).total.backward()
    unseen = backbone.tokenizer.convert_tokens_to_ids("garment")
    assert embeddings.grad[unseen].abs().sum() > 0  # the input does not hold it, so this came through the decoder
    assert all(parameter.grad is not None for parameter in objective.parameters())


@pytest.mark.parametrize("family", ["bert", "roberta", "electra", "distilbert", "albert", "modernbert"])
def test_other_families_start_near_a_uniform_guess(make: Make, family: str) -> None:
    backbone = make(family)
    names = ("input_ids", "attention_mask")  # no segments: some families have none
    batch = backbone.tokenizer(["the beast was good ."] * 8, return_tensors="pt")
    loss = MaskedLM(backbone).eval()(backbone, {name: batch[name] for name in names})
    assert loss.total.item() == pytest.approx(math.log(len(backbone.tokenizer)), rel=0.15)


def test_a_batch_in_eval_mode_is_always_masked_alike_and_in_train_mode_never(make: Make) -> None:
    backbone = make("bert").eval()
    objective = MaskedLM(backbone).eval()
    batch = dict(backbone.tokenizer(["the beast was good and the plant was poor ."] * 4, return_tensors="pt"))
    assert torch.equal(objective.corrupt(batch)[1], objective.corrupt(batch)[1])
    objective.train()
    assert not torch.equal(objective.corrupt(batch)[1], objective.corrupt(batch)[1])


@pytest.mark.parametrize("probability", [0.0, -0.1, 1.5])
def test_a_share_that_is_none_is_refused(make: Make, probability: float) -> None:
    with pytest.raises(UsageError, match=f"probability={probability}.*above 0 and at most 1"):
        MaskedLM(make("bert"), probability=probability)


def test_a_tokenizer_without_mask_is_refused(make: Make) -> None:
    backbone = make("bert")
    backbone.tokenizer.mask_token = None
    with pytest.raises(UsageError, match="no mask token"):
        MaskedLM(backbone)


def test_a_tokenizer_larger_than_the_embeddings_is_refused(make: Make) -> None:
    backbone, longer = make("bert"), make("bert").tokenizer
    longer.add_tokens(["extra"])
    longer.save_pretrained("longer")
    with pytest.raises(UsageError, match=r"has 2\d\d ids, the embeddings 2\d\d rows.*resize"):
        MaskedLM(make("bert", tokenizer="longer"))
    assert MaskedLM(backbone)


def test_mean_is_over_masked_positions_not_rows(make: Make) -> None:
    backbone = make("bert").eval()
    objective = MaskedLM(backbone, probability=1.0).eval()
    texts = ["good", "the beast was good and the plant was poor ."]
    batch = dict(backbone.tokenizer(texts, padding=True, return_tensors="pt"))
    corrupted, targets, _ = objective.corrupt(batch)
    hidden = backbone.last(**{**batch, "input_ids": corrupted})
    logits = objective.head(hidden, backbone.model.get_input_embeddings().weight)
    each = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
    expected = each.sum() / (targets != IGNORED).sum()
    assert objective(backbone, batch).total.item() == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize("family", ["longformer", "reformer"])
def test_long_rows_are_learned(make: Make, family: str) -> None:
    """Rows that repeat two words, longer than attention reaches at once; every parameter gets a gradient."""
    torch.manual_seed(0)
    backbone = make(family, dropout=0.0)
    ids = torch.tensor([[2, *[7, 9] * 49, 3]] * 4)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    before, after = first_and_last(MaskedLM(backbone), backbone, steps=80, batch=batch)
    assert all(parameter.grad is not None for parameter in backbone.parameters())
    # guessing one of the two has ln 2 = 0.69. Reformer had 0.0013 to 0.0018 over five seeds; at 40 steps, one in five
    # was still at 0.36
    assert after < 0.1 < before

from collections.abc import Callable

import pytest
import torch
from learning import first_and_last, texts

from lm_lab.backbones import Backbone
from lm_lab.backbones.attention import attention_mask
from lm_lab.errors import UsageError
from lm_lab.objectives import MaskedLM, UniLM
from lm_lab.objectives.masked.unilm import KINDS, SHARES, sources, visible

Make = Callable[..., Backbone]
FAMILIES = ("bert", "roberta", "electra", "albert", "distilbert")
LENGTH, SOURCE, WIDTH = 6, 3, 8


def sees(kind: str, query: int, key: int) -> bool:
    """The definition, spelled out for one pair."""
    if kind == "left_to_right":
        return key <= query
    if kind == "right_to_left":
        return key >= query
    if kind == "sequence_to_sequence":
        return key < SOURCE or (query >= SOURCE and key <= query)
    return True


def masks() -> torch.Tensor:
    """One row of each kind: six tokens, three of them the source, and padding."""
    real = (torch.arange(WIDTH) < LENGTH).expand(len(KINDS), -1)
    return visible(real, (torch.arange(WIDTH) < SOURCE).expand(len(KINDS), -1), torch.arange(len(KINDS)))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_sees_what_it_should(kind: str) -> None:
    allowed = masks()[KINDS.index(kind)]
    assert not allowed[:LENGTH, LENGTH:].any()
    expected = [[sees(kind, query, key) for key in range(LENGTH)] for query in range(LENGTH)]
    assert allowed[:LENGTH, :LENGTH].tolist() == expected
    assert allowed.any(-1).all()  # padding too, or its softmax would divide by nothing


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_state_changes_with_what_it_sees_and_with_nothing_else(make: Make, family: str, attention: str) -> None:
    backbone = make(family, attention=attention).eval()
    ids = torch.randint(10, 100, (1, WIDTH)).expand(len(KINDS), -1)
    mask = attention_mask(backbone, masks())
    with torch.no_grad():
        before = backbone.last(input_ids=ids, attention_mask=mask)
        for key in range(WIDTH):
            after = backbone.last(input_ids=ids.scatter(1, torch.full((len(KINDS), 1), key), 150), attention_mask=mask)
            changed = ((after - before).abs().amax(-1) > 1e-5)[:, :LENGTH]
            for row, kind in enumerate(KINDS):
                # through two layers: what a token sees, and what that sees, which is no more for any of the kinds
                expected = [key < LENGTH and sees(kind, query, key) for query in range(LENGTH)]
                assert changed[row].tolist() == expected, f"{kind}, key {key}"


def test_kinds_come_in_their_shares(make: Make) -> None:
    count = 20_000
    ids = torch.full((count, 6), 20)
    segments = torch.tensor([0, 0, 0, 1, 1, 1]).expand(count, -1)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": segments}
    allowed = UniLM(make()).allowed(batch, torch.Generator().manual_seed(0))
    whole = torch.ones(1, 6, dtype=torch.bool)
    for kind, share in enumerate(SHARES):
        found = (allowed == visible(whole, segments[:1] == 0, torch.tensor([kind]))).flatten(1).all(1).float().mean()
        assert found.item() == pytest.approx(share, abs=5 * (share * (1 - share) / count) ** 0.5)


def test_the_source_is_the_first_segment_or_a_beginning_of_random_length() -> None:
    count = 20_000
    real = (torch.arange(7) < 5).expand(count, -1)
    pair = torch.tensor([0, 0, 1, 1, 1, 0, 0]).expand(count, -1)
    assert torch.equal(sources(real, pair), (torch.arange(7) < 2).expand(count, -1))
    for segments in (None, torch.zeros_like(pair)):
        lengths = sources(real, segments, torch.Generator().manual_seed(0)).sum(1)
        shares = lengths.bincount(minlength=6) / count
        assert torch.allclose(shares, torch.tensor([0, 0.25, 0.25, 0.25, 0.25, 0]), atol=0.0154)  # 5 standard errors


def test_it_is_the_masked_language_model_where_every_row_is_bidirectional(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = make().eval()
    objective, plain = UniLM(backbone).eval(), MaskedLM(backbone).eval()
    plain.load_state_dict(objective.state_dict())
    batch = texts(backbone)
    mixed = objective(backbone, batch).total.item()
    monkeypatch.setattr("lm_lab.objectives.masked.unilm.SHARES", (1.0, 0.0, 0.0, 0.0))
    expected = plain(backbone, batch).total.item()
    assert objective(backbone, batch).total.item() == pytest.approx(expected, abs=1e-5)
    assert mixed != pytest.approx(expected, abs=1e-5)


def test_draws_are_a_function_of_the_generator_and_the_batch_stays(make: Make) -> None:
    backbone = make().eval()
    objective, batch = UniLM(backbone), texts(backbone)
    before = {name: value.clone() for name, value in batch.items()}
    first, again, other = (objective.allowed(batch, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    with torch.no_grad():
        objective.eval()
        assert objective(backbone, batch).total == objective(backbone, batch).total
        objective.train()
        assert objective(backbone, batch).total != objective(backbone, batch).total
    assert all(torch.equal(batch[name], before[name]) for name in batch)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_it_learns(make: Make, attention: str) -> None:
    backbone = make(pretrained=False, attention=attention)
    first, last = first_and_last(UniLM(backbone), backbone, steps=60)
    assert last < first - 1.0


@pytest.mark.parametrize("family", ["gpt2", "t5", "deberta-v2", "xlnet"])
def test_other_backbones_are_refused(make: Make, family: str) -> None:
    with pytest.raises(UsageError, match=f"{family}: UniLM needs an encoder"):
        UniLM(make(family))

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives import BertStyle, Deshuffling, DropTokens, MassStyle, PrefixLM, ReplaceSpans
from lm_lab.objectives.denoising.denoising import Denoising

Make = Callable[..., Backbone]
MANY, LENGTH = 20_000, 10
REAL = torch.arange(12).expand(MANY, -1) < LENGTH
IDS = (torch.arange(12) + 10).expand(MANY, -1).masked_fill(~REAL, 0)  # 10 .. 19 and padding


@pytest.fixture
def backbone(make: Make) -> Backbone:
    found = make("t5")
    found.model.resize_token_embeddings(len(found.tokenizer) + 8)
    return found


def drawn(objective: Denoising) -> tuple[torch.Tensor, torch.Tensor]:
    """The ids of source and target of many draws."""
    source, target = objective.noise(IDS, REAL, torch.Generator().manual_seed(0))
    for ids, real in (source, target):
        assert (ids[~real] == 0).all()
        assert torch.equal(real, real.cummin(1).values)  # padding is on the right
    return source[0], target[0]


def shares(drawn: torch.Tensor, expected: float) -> None:
    """Five standard errors around a share of each column."""
    error = 5 * (expected * (1 - expected) / MANY) ** 0.5
    assert torch.allclose(drawn.float().mean(0), torch.full(drawn.shape[1:], expected), atol=error)


def test_a_prefix_is_cut_at_every_place_equally_often(backbone: Backbone) -> None:
    source, target = drawn(PrefixLM(backbone))
    cut = (source > 0).sum(1)
    shares(torch.stack([cut == n for n in range(1, LENGTH)], dim=1), 1 / 9)
    assert (cut + (target > 0).sum(1) == LENGTH).all()
    both = torch.nn.functional.pad(source, (0, LENGTH + 1 - source.shape[1]))
    places = (torch.arange(target.shape[1]) + cut[:, None]).clamp(max=LENGTH)
    assert torch.equal(both.scatter(1, places, target)[:, :LENGTH], IDS[:, :LENGTH])


def test_deshuffling_makes_every_order_equally_likely(backbone: Backbone) -> None:
    source, target = drawn(Deshuffling(backbone))
    assert torch.equal(source.sort(1, descending=True).values, IDS.sort(1, descending=True).values)
    assert torch.equal(target, IDS)
    for token in (10, 14, 19):
        shares(source[:, :LENGTH] == token, 1 / LENGTH)


@pytest.mark.parametrize(("kind", "random"), [(BertStyle, 0.1), (MassStyle, 0.0)])
def test_single_tokens_are_replaced_where_they_stand(backbone: Backbone, kind: type[BertStyle], random: float) -> None:
    objective = kind(backbone, probability=0.3)
    source, target = drawn(objective)
    assert torch.equal(target, IDS)
    masked, changed = source == backbone.tokenizer.mask_token_id, source != IDS
    assert (changed.sum(1) <= 3).all()
    shares(masked[:, :LENGTH], 0.3 * (1 - random))
    words = len(objective.replacements)
    shares((changed & ~masked)[:, :LENGTH], 0.3 * random * (words - 1) / words)
    assert not torch.isin(source[REAL & ~masked], objective.special).any()


def test_a_tokenizer_without_mask_gets_the_first_sentinel(backbone: Backbone) -> None:
    backbone.tokenizer.mask_token = None
    assert MassStyle(backbone, sentinels=8).mask_id == len(backbone.tokenizer) + 7
    with pytest.raises(UsageError, match="sentinels=0"):
        MassStyle(backbone)


def test_sentinels_of_the_tokenizer_are_no_words(backbone: Backbone) -> None:
    backbone.tokenizer.add_tokens([f"<extra_id_{i}>" for i in reversed(range(8))])
    objective = ReplaceSpans(backbone)
    assert torch.isin(objective.sentinels, objective.special).all()
    assert not torch.isin(BertStyle(backbone).replacements, objective.sentinels).any()


def test_neighbours_become_one_sentinel_and_the_target_says_what_they_are(backbone: Backbone) -> None:
    objective = ReplaceSpans(backbone, probability=0.3, sentinels=8)
    source, target = drawn(objective)
    marks = objective.sentinels
    for ids, spans in zip(source[:200].tolist(), target[:200].tolist(), strict=True):
        assert not any(a in marks and b in marks for a, b in pairwise(ids))
        rebuilt = []
        for token in ids:
            if token not in marks:
                rebuilt.append(token)
                continue
            start = spans.index(token) + 1
            rebuilt += spans[start : next((i for i in range(start, len(spans)) if spans[i] in marks), None)]
        assert [token for token in rebuilt if token] == list(range(10, 20))
        used = [token for token in ids if token in marks]
        assert used == marks[: len(used)].tolist()


def test_dropped_tokens_are_the_target_and_equally_often_each(backbone: Backbone) -> None:
    source, target = drawn(DropTokens(backbone, probability=0.3))
    assert target.shape[1] == 3
    assert torch.equal(torch.cat([source, target], 1).sort(1).values, IDS[:, :LENGTH])
    shares(torch.stack([(target == token).any(1) for token in range(10, 20)], dim=1), 0.3)


@pytest.mark.parametrize("kind", [BertStyle, MassStyle, ReplaceSpans, DropTokens])
def test_shares_that_are_none_are_refused(backbone: Backbone, kind: Callable[..., Denoising]) -> None:
    for probability in (0.0, 1.5, float("nan")):
        with pytest.raises(UsageError, match=f"probability={probability}"):
            kind(backbone, probability=probability)

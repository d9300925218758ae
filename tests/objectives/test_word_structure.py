from collections.abc import Callable

import pytest
import torch
from learning import first_and_last, texts
from scipy.stats import binomtest

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives import MaskedLM, WordStructure
from lm_lab.objectives.masked.word_structure import shuffle_trigrams

Make = Callable[..., Backbone]


def shuffled(share: float, rows: int = 400, length: int = 41) -> tuple[torch.Tensor, ...]:
    ids = torch.arange(length).expand(rows, -1) + 100
    free = torch.rand(rows, length) < 0.9
    free[:, 0] = free[:, -1] = False
    return ids, free, *shuffle_trigrams(ids, free, share, torch.Generator().manual_seed(0))


def test_only_whole_free_trigrams_side_by_side_move_and_within_themselves() -> None:
    ids, free, found, moved = shuffled(0.5)
    assert not (moved & ~free).any()
    assert torch.equal(found[~moved], ids[~moved])
    for row, places in zip(found.tolist(), moved, strict=True):
        where = places.nonzero().flatten().tolist()
        assert len(where) % 3 == 0
        for i in range(0, len(where), 3):
            a, b, c = where[i : i + 3]
            assert (b, c) == (a + 1, a + 2)
            assert sorted(row[a : c + 1]) == [a + 100, b + 100, c + 100]


def test_all_orders_are_equally_likely() -> None:
    ids, _, found, moved = shuffled(1.0)
    offset = (found - ids)[moved].view(-1, 3)
    orders, counts = offset.unique(dim=0, return_counts=True)
    assert len(orders) == 6
    for count in counts.tolist():
        assert binomtest(count, len(offset), 1 / 6).pvalue > 1e-3


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_the_share_of_trigrams_is_that_asked_for(share: float) -> None:
    _, free, _, every = shuffled(1.0)
    _, _, _, moved = shuffled(share)
    assert free.any()
    assert binomtest(int(moved.sum()) // 3, int(every.sum()) // 3, share).pvalue > 1e-3


def test_trigrams_start_anywhere() -> None:
    _, _, _, moved = shuffled(1.0)
    first = moved.float().argmax(dim=1) % 3
    assert set(first.tolist()) == {0, 1, 2}


@pytest.mark.parametrize("length", [1, 2, 3])
def test_short_rows_are_left_as_they_are(length: int) -> None:
    ids = torch.arange(length)[None]
    found, moved = shuffle_trigrams(ids, torch.zeros(1, length, dtype=torch.bool), 1.0)
    assert torch.equal(found, ids)
    assert not moved.any()


def test_masked_and_special_tokens_are_never_shuffled_and_targets_are_the_originals(make: Make) -> None:
    backbone = make().eval()
    objective = WordStructure(backbone, shuffled=1.0).eval()
    batch, read = texts(backbone), {}
    last = backbone.last
    backbone.last = lambda **given: read.update(given) or last(**given)  # type: ignore[method-assign]
    first = objective(backbone, batch)
    ids = read["input_ids"]
    masked = objective.corrupt(batch)
    fixed = (masked.targets != -100) | torch.isin(batch["input_ids"], objective.corrupt.special)
    assert torch.equal(ids[fixed], masked.input_ids[fixed])
    assert (ids != masked.input_ids).sum() > 10
    again = objective(backbone, batch)
    assert torch.equal(first.total, again.total)
    assert 0.1 < first.metrics["shuffled"] < 0.8


def test_without_shuffling_it_is_masked_language_modelling(make: Make) -> None:
    backbone = make().eval()
    objective, plain = WordStructure(backbone, shuffled=0.0).eval(), MaskedLM(backbone).eval()
    plain.load_state_dict(objective.state_dict())
    batch = texts(backbone)
    assert torch.equal(objective(backbone, batch).total, plain(backbone, batch).total)


def test_it_learns(make: Make) -> None:
    backbone = make(pretrained=False)
    first, last = first_and_last(WordStructure(backbone, shuffled=0.3), backbone, steps=60)
    assert last < first - 1.0


def test_a_share_that_is_none_is_refused(make: Make) -> None:
    with pytest.raises(UsageError, match=r"shuffled=1\.5"):
        WordStructure(make(), shuffled=1.5)

"""What the noises of encoder-decoders are made of, at their borders."""

import pytest
import torch

from lm_lab.errors import UsageError
from lm_lab.objectives.denoising.sequence_noise import compact, random_spans, segment, with_sentinels

MANY = 4000


def test_rows_of_which_nothing_is_kept_are_one_wide() -> None:
    ids, real = compact(torch.tensor([[5, 6, 7]]), torch.zeros(1, 3, dtype=torch.bool), pad=0)
    assert (ids.tolist(), real.tolist()) == ([[0]], [[False]])


def test_all_cuts_are_equally_likely() -> None:
    total, parts = torch.full((MANY, 1), 4), torch.full((MANY, 1), 2)
    found = segment(total, parts, torch.Generator().manual_seed(0))
    assert found.sum(dim=1).eq(4).all()
    shares = found[:, 0].bincount(minlength=4)[1:] / MANY
    assert shares.tolist() == pytest.approx([1 / 3] * 3, abs=5 * (2 / 9 / MANY) ** 0.5)
    assert segment(torch.tensor([[0], [1]]), torch.ones(2, 1, dtype=torch.long)).tolist() == [[0], [1]]


def test_as_many_runs_as_sentinels_are_enough_and_one_more_is_not() -> None:
    ids, real = torch.arange(10, 17)[None], torch.ones(1, 7, dtype=torch.bool)
    noise = torch.tensor([[False, True, False, True, True, False, False]])
    (source, _), (target, _) = with_sentinels(ids, real, noise, torch.tensor([99, 98]), pad=0)
    assert source.tolist() == [[10, 99, 12, 98, 15, 16]]
    assert target.tolist() == [[99, 11, 98, 13, 14]]
    with pytest.raises(UsageError, match="needs 2 sentinels, but there are 1"):
        with_sentinels(ids, real, noise, torch.tensor([99]), pad=0)


def test_the_shortest_rows() -> None:
    real = torch.arange(3) < torch.tensor([[0], [1], [2], [3]])
    noise = random_spans(real, 0.15, 3.0, False, torch.Generator().manual_seed(0))
    assert noise.tolist() == [[False] * 3, [True, False, False], [False, True, False], [False, False, True]]


def test_of_two_tokens_one_stays_however_much_is_noise() -> None:
    real = torch.ones(1, 2, dtype=torch.bool)
    assert random_spans(real, 0.9, 1.0, False, torch.Generator().manual_seed(0)).tolist() == [[False, True]]

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives import BART
from lm_lab.objectives.denoising.bart_noise import delete, infill, mask_single, permute_sentences, rotate

Make = Callable[..., Backbone]
MANY, LENGTH, MASK = 20_000, 20, 4
REAL = torch.arange(24).expand(MANY, -1) < LENGTH
IDS = (torch.arange(24) + 10).expand(MANY, -1).masked_fill(~REAL, 0)  # 10 .. 29 and padding


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shares(drawn: torch.Tensor, expected: float) -> None:
    """Five standard errors around a share of each column."""
    error = 5 * (expected * (1 - expected) / len(drawn)) ** 0.5
    assert torch.allclose(drawn.float().mean(0), torch.full(drawn.shape[1:], expected), atol=error)


def test_masking_hides_single_tokens_where_they_stand() -> None:
    noisy, real = mask_single(IDS, REAL, MASK, 0.15, generator())
    assert (noisy == MASK).sum(1).eq(3).all()
    assert torch.equal(noisy[noisy != MASK], IDS[noisy != MASK])
    assert torch.equal(real, REAL)
    shares((noisy == MASK)[:, :LENGTH], 0.15)


def test_deletion_leaves_no_trace() -> None:
    noisy, real = delete(IDS, REAL, 0, 0.15, generator())
    assert noisy.shape == (MANY, 17)
    assert real.all()
    assert (noisy.diff(dim=1) > 0).all()
    shares(torch.stack([~(noisy == token).any(1) for token in range(10, 30)], dim=1), 0.15)


def test_infilling_covers_its_budget_with_one_mask_a_span() -> None:
    noisy, real = infill(IDS, REAL, MASK, 0, 0.3, 3.0, generator())
    kept = real & (noisy != MASK)
    assert kept.sum(1).eq(LENGTH - 6).all()
    assert (noisy[~real] == 0).all()
    steps = noisy.masked_fill(~kept, 0).cummax(1).values  # what is kept stays in order
    assert (steps.diff(dim=1) >= 0).all()
    share = torch.stack([(noisy == token).any(1) for token in range(10, 30)], dim=1).float().mean(0)
    assert torch.allclose(share, share.flip(0), atol=5 * (2 * 0.21 / MANY) ** 0.5)  # spans that were cut are not last


def test_all_places_among_the_kept_tokens_are_equally_likely() -> None:
    noisy, real = infill(IDS, REAL, MASK, 0, 0.3, 3.0, generator())
    count = real.sum(1)
    for spans in (2, 3):
        rows = noisy[count == LENGTH - 6 + spans][:, : LENGTH - 6 + spans]
        shares(rows == MASK, spans / (LENGTH - 6 + spans))


def test_lengths_of_spans_are_poisson_and_empty_ones_put_a_mask_in() -> None:
    length = 3000
    ids = torch.arange(10, 10 + length).expand(40, -1)
    noisy, real = infill(ids, torch.ones_like(ids).bool(), MASK, 0, 0.3, 3.0, generator())
    kept = [row[keep & (row != MASK)] for row, keep in zip(noisy, real, strict=True)]
    masks = (noisy == MASK).sum()
    covered = 40 * length - sum(len(row) for row in kept)
    assert covered == 40 * 900
    assert (covered / masks).item() == pytest.approx(3.0, abs=0.09)  # 5 x sqrt(3 / 12000), and the cut of the last
    alone = 0
    for row in noisy:
        for before, token, after in zip(row, row[1:], row[2:], strict=False):
            alone += int(token == MASK and before != MASK and after == before + 1)
    expected = torch.exp(torch.tensor(-3.0)) * masks * (2100 / 2400) ** 2  # between two kept tokens that are neighbours
    assert alone == pytest.approx(expected.item(), abs=5 * expected.item() ** 0.5)


def test_sentences_come_in_every_order_and_stay_whole() -> None:
    row = torch.tensor([11, 12, 5, 13, 5, 14, 15, 0])  # the last sentence has no end
    ids = row.expand(MANY, -1)
    noisy = permute_sentences(ids, ids > 0, ids == 5, generator())
    orders, times = noisy.unique(dim=0, return_counts=True)
    a, b, c = [11, 12, 5], [13, 5], [14, 15]
    expected = sorted(x + y + z + [0] for x, y, z in ((a, b, c), (a, c, b), (b, a, c), (b, c, a), (c, a, b), (c, b, a)))
    assert orders.tolist() == expected
    assert torch.allclose(times / MANY, torch.full((6,), 1 / 6), atol=5 * (5 / 36 / MANY) ** 0.5)


def test_rotation_starts_at_every_token_equally_often() -> None:
    noisy = rotate(IDS, REAL, generator())
    shares(torch.stack([noisy[:, 0] == token for token in range(10, 30)], dim=1), 1 / LENGTH)
    assert ((noisy[:, 1:LENGTH] - noisy[:, : LENGTH - 1]) % LENGTH == 1).all()
    assert (noisy[:, LENGTH:] == 0).all()


OFF = {"infilling": 0.0, "permute": False}


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        (OFF | {"masking": 0.3}, {"mask", "missing"}),
        (OFF | {"deletion": 0.3}, {"missing", "shorter"}),
        (OFF | {"infilling": 0.3, "mean": 6.0}, {"mask", "missing"}),
        (OFF | {"permute": True}, {"order"}),
        (OFF | {"rotation": True}, {"order"}),
        ({"masking": 0.2, "deletion": 0.2, "rotation": True}, {"mask", "missing", "order"}),
    ],
)
def test_each_noise_does_its_part_alone_and_all_combine(make: Make, options: dict[str, Any], changed: set[str]) -> None:
    backbone = make("bart")
    objective = BART(backbone, **options)
    ids = torch.arange(10, 26).expand(64, -1).clone()
    ids[:, [5, 9, 15]] = backbone.tokenizer.convert_tokens_to_ids(".")
    source, target = objective.noise(ids, torch.ones_like(ids).bool(), generator())
    assert torch.equal(target[0], ids)
    rows = [row[real].tolist() for row, real in zip(*source, strict=True)]
    words = [[token for token in row if token not in (objective.mask_id, 5)] for row in rows]
    found = {
        "mask": any(objective.mask_id in row for row in rows),
        "missing": any(set(row) < set(ids[0].tolist()) - {5} for row in words),
        "order": any(row != sorted(row) for row in words),
        "shorter": all(len(row) < 16 for row in rows),
    }
    assert {name for name in ("mask", "missing", "order") if found[name]} == changed - {"shorter"}
    assert found["shorter"] or "shorter" not in changed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"infilling": 1.5}, "infilling=1.5"),
        ({"deletion": -0.1}, "deletion=-0.1"),
        ({"mean": 0.5}, "mean=0.5"),
        (OFF, "no noise is switched on"),
        ({"ends": ["nowhere"]}, "ends=.*none of these"),
    ],
)
def test_what_makes_no_noise_is_refused(make: Make, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        BART(make("bart"), **options)


def test_a_tokenizer_without_mask_can_still_permute(make: Make) -> None:
    backbone = make("bart")
    backbone.tokenizer.mask_token = None
    assert BART(backbone, infilling=0.0).mask_id == -1
    with pytest.raises(UsageError, match="no mask token"):
        BART(backbone)


def lengths_of(monkeypatch: pytest.MonkeyPatch, *lengths: int) -> None:
    """Let every draw of span lengths be these, over and over."""
    drawn = torch.tensor(lengths)
    monkeypatch.setattr(
        torch,
        "poisson",
        lambda rates, generator: drawn.repeat(rates.shape[1])[: rates.shape[1]].expand(rates.shape).float(),
    )


def test_spans_end_with_the_one_that_covers_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths_of(monkeypatch, 3)
    noisy, real = infill(IDS[:50], REAL[:50], MASK, 0, 0.3, 3.0, generator())
    assert (noisy == MASK).sum(1).eq(2).all()  # of 6 tokens
    assert real.sum(1).eq(LENGTH - 6 + 2).all()


def test_the_last_token_of_a_full_row_is_itself() -> None:
    ids = torch.arange(10, 30).expand(500, -1)
    noisy, real = infill(ids, torch.ones_like(ids).bool(), MASK, 0, 0.3, 3.0, generator())
    for row, keep in zip(noisy, real, strict=True):
        kept = row[keep & (row != MASK)]
        assert len(kept.unique()) == LENGTH - 6
    assert (noisy[~real] == 0).all()


def test_three_tokens_lose_one() -> None:
    ids = torch.tensor([[10, 11, 12]])
    noisy, real = infill(ids, torch.ones_like(ids).bool(), MASK, 0, 0.1, 3.0, generator())
    assert (real & (noisy != MASK)).sum() == 2

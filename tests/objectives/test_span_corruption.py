from collections.abc import Callable

import pytest
import torch

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives import SpanCorruption
from lm_lab.objectives.denoising.sequence_noise import compact, pick, random_spans, segment, with_sentinels
from lm_lab.objectives.denoising.span_corruption import sentinel_ids

Make = Callable[..., Backbone]
SENTINELS = torch.arange(999, 899, -1)


def rows(*lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    real = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return torch.randint(10, 100, real.shape).masked_fill(~real, 0), real


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def begins(noise: torch.Tensor) -> torch.Tensor:
    return noise & ~torch.nn.functional.pad(noise, (1, 0))[:, :-1]


def test_568_tokens_become_512_and_114_as_published() -> None:
    ids, real = rows(568, 100)
    source, target = with_sentinels(ids, real, random_spans(real, 0.15, 3.0, False, generator()), SENTINELS, 0)
    assert (source[1].sum(1) + 1).tolist() == [512, 100 - 15 + 5 + 1]  # one more for the end token
    assert (target[1].sum(1) + 1).tolist() == [114, 15 + 5 + 1]


@pytest.mark.parametrize(("probability", "mean"), [(0.15, 3.0), (0.5, 3.0), (0.9, 1.0), (0.15, 10.0)])
def test_the_length_fixes_the_number_of_noise_tokens_and_spans(probability: float, mean: float) -> None:
    lengths = (0, 1, 2, 3, 7, 20, 101)
    noise = random_spans(rows(*lengths)[1], probability, mean, False, generator())
    counts = [min(n, max(1, min(round(probability * n), n - 1))) for n in lengths]
    spans = [min(max(1, round(c / mean)), max(1, n - c)) if n else 0 for c, n in zip(counts, lengths, strict=True)]
    assert noise.sum(1).tolist() == counts
    assert begins(noise).sum(1).tolist() == spans
    assert not noise[~rows(*lengths)[1]].any()


def test_all_ways_to_cut_are_equally_likely() -> None:
    count = 30_000
    lengths = segment(torch.full((count, 1), 5), torch.full((count, 1), 3), generator())
    assert lengths.sum(1).eq(5).all()
    found, times = lengths.unique(dim=0, return_counts=True)
    assert len(found) == 6  # 4 choose 2
    assert torch.allclose(times / count, torch.full((6,), 1 / 6), atol=0.011)  # 5 standard errors


def test_pick_chooses_that_many_and_all_equally_often() -> None:
    eligible = torch.ones(40_000, 6, dtype=torch.bool)
    eligible[:, 2] = False
    chosen = pick(eligible, torch.full((40_000, 1), 2), generator())
    assert chosen.sum(1).eq(2).all()
    assert torch.allclose(chosen.float().mean(0), torch.tensor([0.4, 0.4, 0, 0.4, 0.4, 0.4]), atol=0.0125)


def test_spans_are_three_long_on_average_and_leave_no_place_out() -> None:
    noise = random_spans(torch.ones(4000, 100, dtype=torch.bool), 0.15, 3.0, False, generator())
    assert noise.sum() / begins(noise).sum() == 3
    assert noise[:, -1].all()  # the rest comes first, so a text always ends with noise
    assert not noise[:, 0].any()
    assert noise[:, 5:90].float().mean(0).min() > 0.05


def test_one_span_is_the_end_of_a_text_unless_it_is_rolled() -> None:
    real = torch.arange(14).expand(30_000, -1) < 12
    published, rolled = (random_spans(real, 0.15, 3.0, roll, generator()) for roll in (False, True))
    assert published.float().mean(0).tolist() == [0.0] * 10 + [1.0] * 2 + [0.0] * 2
    assert rolled.sum(1).eq(2).all()
    assert torch.allclose(rolled.float().mean(0), (real[0] / 6), atol=0.011)  # 5 standard errors


def test_source_and_target_are_the_figure_of_the_paper() -> None:
    ids = torch.arange(10, 20)[None]  # Thank you for inviting me to your party last week
    noise = torch.tensor([[0, 0, 1, 1, 0, 0, 0, 0, 1, 0]]).bool()
    source, target = with_sentinels(ids, torch.ones_like(noise), noise, SENTINELS, 0)
    assert source[0].tolist() == [[10, 11, 999, 14, 15, 16, 17, 998, 19]]
    assert target[0].tolist() == [[999, 12, 13, 998, 18]]


def test_compact_keeps_order_and_cuts_what_no_row_needs() -> None:
    keep = torch.tensor([[0, 1, 0, 1], [0, 0, 0, 1]]).bool()
    ids, real = compact(torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]]), keep, 0)
    assert ids.tolist() == [[2, 4], [8, 0]]
    assert real.tolist() == [[True, True], [True, False]]


def test_sentinels_are_the_tokenizers_own_and_descend(make: Make) -> None:
    backbone = make("t5")
    backbone.tokenizer.add_tokens([f"<extra_id_{i}>" for i in reversed(range(12))])
    found = sentinel_ids(backbone, 0)
    assert backbone.tokenizer.convert_ids_to_tokens(found.tolist()) == [f"<extra_id_{i}>" for i in range(12)]
    assert (found.diff() == -1).all()


def test_reserved_sentinels_are_the_last_ids_and_no_token_of_the_tokenizer(make: Make) -> None:
    backbone = make("t5")
    size = len(backbone.tokenizer)
    with pytest.raises(UsageError, match=rf"sentinels=4.*embeds 0.*vocab_size.*{size + 4} or more"):
        sentinel_ids(backbone, 4)
    backbone.model.resize_token_embeddings(size + 6)
    assert sentinel_ids(backbone, 4).tolist() == [size + 5, size + 4, size + 3, size + 2]
    assert sentinel_ids(backbone, 1).tolist() == [size + 5]
    objective = SpanCorruption(backbone, mean=1, sentinels=4)
    assert "sentinels" not in objective.state_dict()  # they come with the configuration
    for reserved in (0, 7):
        with pytest.raises(UsageError, match=f"sentinels={reserved}: .*embeds 6"):
            sentinel_ids(backbone, reserved)


def test_too_few_sentinels_for_a_text_are_told() -> None:
    ids, real = rows(60)
    with pytest.raises(UsageError, match="60 tokens needs 3 sentinels, but there are 2"):
        with_sentinels(ids, real, random_spans(real, 0.15, 3.0, False), SENTINELS[:2], 0)


@pytest.mark.parametrize("options", [{"probability": 0.0}, {"probability": 1.0}, {"mean": 0.5}])
def test_numbers_out_of_range_are_refused(make: Make, options: dict[str, float]) -> None:
    backbone = make("t5")
    backbone.model.resize_token_embeddings(280)
    with pytest.raises(UsageError, match=next(iter(options))):
        SpanCorruption(backbone, sentinels=8, **options)

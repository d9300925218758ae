"""Choosing words, n-grams and spans, against their definitions."""

import pytest
import torch
from tokenizers import Tokenizer, models
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from lm_lab.objectives.masked.masking import NGramMasking, SpanMasking
from lm_lab.objectives.masked.noise import IGNORED, hide, number
from lm_lab.objectives.masked.units import choose_units, continuations, word_begins

ONE = torch.ones(1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def row(text: str) -> tuple[Tensor, Tensor]:
    """A row of tokens: `w` a word, `c` its continuation, `.` special."""
    return torch.tensor([[sign != "." for sign in text]]), torch.tensor([[sign == "c" for sign in text]])


def all_words(rows: int, size: int) -> tuple[Tensor, Tensor]:
    return torch.ones(rows, size, dtype=torch.bool), torch.zeros(rows, size, dtype=torch.bool)


@pytest.mark.parametrize(
    ("vocabulary", "continuing"),
    [
        (["[UNK]", "play", "##ing", "##ed", "Ġ", "▁"], ["##ing", "##ed"]),
        (["[UNK]", "Ġplay", "Ġa", "Ġthe", "ing", "##", ","], ["ing", "##", ","]),
        (["[UNK]", "▁play", "▁a", "ing"], ["ing"]),
        (["[UNK]", "play", "a"], []),
    ],
)
def test_continuations_follow_the_mark_of_the_vocabulary(vocabulary: list[str], continuing: list[str]) -> None:
    model = models.WordLevel({piece: i for i, piece in enumerate(vocabulary)}, unk_token="[UNK]")
    found = continuations(PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model), unk_token="[UNK]"))
    assert [piece for piece, continues in zip(vocabulary, found.tolist(), strict=True) if continues] == continuing


def test_a_word_begins_anew_behind_a_special_token() -> None:
    assert word_begins(*row(".wccw.cw.")).int().tolist() == [[0, 1, 0, 0, 1, 0, 1, 1, 0]]


def test_words_are_whole_and_equally_likely() -> None:
    eligible, continues = (tensor.expand(20_000, -1) for tensor in row(".wcwcwc.wcwcwcwc."))
    units = choose_units(eligible, continues, ONE, 0.15, generator())  # 14 tokens, a budget of 2: one word
    chosen = units >= 0
    assert chosen.sum(dim=1).unique().tolist() == [2]
    assert torch.equal(chosen[:, 1:][continues[:, 1:]], chosen[:, :-1][continues[:, 1:]])
    assert not chosen[:, [0, 7, -1]].any()
    assert torch.allclose(chosen[:, eligible[0]].float().mean(dim=0), torch.tensor(1 / 7), atol=0.0124)  # 5 errors


@pytest.mark.parametrize("lengths", [[1.0], [1.0, 0.5, 1 / 3], [0.1] * 10])
@pytest.mark.parametrize("probability", [0.15, 0.5, 1.0])
def test_units_keep_to_the_budget_and_do_not_overlap(lengths: list[float], probability: float) -> None:
    noise = generator()
    size = torch.randint(1, 60, (300, 1), generator=noise)
    eligible = (torch.arange(60) < size) & (torch.rand(300, 60, generator=noise) < 0.9)
    continues = torch.rand(300, 60, generator=noise) < 0.3
    units = choose_units(eligible, continues, torch.tensor(lengths), probability, noise)
    chosen = units >= 0
    budget = (probability * eligible.sum(1)).round().clamp(min=1)
    begins = word_begins(eligible, continues)
    assert not chosen[~eligible].any()
    assert torch.equal(chosen.any(dim=1), eligible.any(dim=1))
    over = chosen.sum(1) > budget  # only where the one word is longer than the budget
    assert ((chosen & begins).sum(1)[over] == 1).all()
    for of_row, starts, allowed in zip(units, begins, eligible, strict=True):
        for unit in range(int(of_row.max()) + 1):
            at = (of_row == unit).nonzero().squeeze(1)
            first, last = int(at[0]), int(at[-1])
            assert at.tolist() == list(range(first, last + 1))  # in one piece
            assert starts[first]
            assert last + 1 == 60 or starts[last + 1] or not allowed[last + 1]  # whole words
            assert starts[first : last + 1].sum() <= len(lengths)


def test_rows_of_single_words_get_their_exact_share() -> None:
    for size in (1, 2, 7, 20, 101):
        units = choose_units(*all_words(50, size), NGramMasking().lengths, 0.15, generator())
        assert (units >= 0).sum(dim=1).unique().tolist() == [max(1, round(0.15 * size))]


def test_a_word_longer_than_the_budget_is_taken_only_where_there_is_no_other() -> None:
    longer, other = (choose_units(*row(text), ONE, 0.15, generator()) for text in (".wccc.", ".wcccw."))
    assert longer.tolist() == [[-1, 0, 0, 0, 0, -1]]
    assert other.tolist() == [[-1, -1, -1, -1, -1, 0, -1]]


def first_unit_lengths(lengths: Tensor) -> Tensor:
    """Shares of 1, 2, ... words among the first units drawn, which neither budget nor other units cut."""
    units = choose_units(*all_words(4000, 200), lengths, 0.15, generator())
    units = units[(units == 0).float().argmax(dim=1) < 190]  # nor the end of the row
    counts = (units == 0).sum(dim=1).bincount(minlength=len(lengths) + 1)[1:]
    return counts / counts.sum()


def test_ngrams_have_lengths_inverse_to_n() -> None:
    expected = torch.tensor([6 / 11, 3 / 11, 2 / 11])
    assert torch.allclose(NGramMasking().lengths, expected)
    assert torch.allclose(first_unit_lengths(NGramMasking().lengths), expected, atol=5 * (0.25 / 3800) ** 0.5)


def test_span_lengths_are_geometric_and_renormalised() -> None:
    lengths = SpanMasking().lengths
    assert lengths.sum().item() == pytest.approx(1)
    assert torch.allclose(lengths[1:] / lengths[:-1], torch.tensor(0.8))
    assert (lengths * torch.arange(1, 11)).sum().item() == pytest.approx(3.8, abs=0.01)  # the paper's mean
    assert torch.allclose(first_unit_lengths(lengths), lengths, atol=5 * (0.25 / 3800) ** 0.5)


def test_spans_that_touch_keep_their_numbers() -> None:
    units = choose_units(*all_words(500, 20), torch.tensor([0.0, 0.0, 1.0]), 0.6, generator())
    touching = (units[:, 1:] != units[:, :-1]) & (units[:, 1:] >= 0) & (units[:, :-1] >= 0)
    assert touching.any()


@pytest.mark.parametrize("per_unit", [False, True])
def test_actions_are_80_10_10_for_each_token_or_each_span(per_unit: bool) -> None:
    ids = torch.randint(10, 100, (4000, 40))
    noise = generator()
    units = choose_units(*all_words(4000, 40), torch.tensor([0.0, 1.0]), 0.15, noise)
    corrupted, targets = hide(
        ids, units, torch.tensor([200, 201]), 4, shares=(0.8, 0.1), per_unit=per_unit, generator=noise
    )
    chosen = units >= 0
    assert torch.equal(targets, torch.where(chosen, ids, IGNORED))
    assert torch.equal(corrupted[~chosen], ids[~chosen])
    action = torch.where(corrupted == 4, 0, torch.where(corrupted >= 200, 1, 2))
    shares = [(action[chosen] == kind).float().mean().item() for kind in range(3)]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=5 * (0.16 / 12_000) ** 0.5)
    pairs = (units[:, 1:] == units[:, :-1]) & chosen[:, 1:]
    alike = (action[:, 1:] == action[:, :-1])[pairs].float().mean().item()
    assert alike == pytest.approx(1.0 if per_unit else 0.66, abs=0.025)


def test_units_are_a_function_of_the_generator_and_leave_their_input_alone() -> None:
    eligible, continues = row(".wcwwwcwwwwcwwwwww.wwww.")
    before = eligible.clone(), continues.clone()
    first, again, other = (
        choose_units(eligible, continues, SpanMasking().lengths, 0.3, generator(seed)) for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(eligible, before[0])
    assert torch.equal(continues, before[1])


def test_the_first_two_units_have_fates_of_their_own() -> None:
    ids, units = torch.full((4000, 2), 9), torch.tensor([0, 1]).expand(4000, -1)
    drawn = hide(ids, units, torch.tensor([7]), 4, shares=(0.5, 0.5), per_unit=True, generator=generator())[0]
    assert (drawn[:, 0] == drawn[:, 1]).float().mean().item() == pytest.approx(0.5, abs=0.04)  # 5 standard errors


def test_chosen_tokens_are_numbered_from_0_and_others_are_minus_1() -> None:
    assert number(torch.tensor([[True, False, True, True]])).tolist() == [[0, -1, 1, 2]]


def test_where_nothing_fits_one_word_is_chosen_whole() -> None:
    eligible, continues = (tensor.expand(200, -1) for tensor in row(".wcwcwc."))
    units = choose_units(eligible, continues, torch.tensor([0.0, 1.0]), 0.15, generator())  # of 6 tokens, 1
    assert (units >= 0).sum(dim=1).unique().tolist() == [2]

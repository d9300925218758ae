"""Choosing whole units of a row: words, n-grams, spans. Pure functions of (b, t) tensors and a generator.

A unit is n words side by side, n drawn from `lengths`. In each row the words are taken in random order, each as the
start of a unit, until the budget max(1, round(probability * L)) of the row's L tokens is spent:

    - a unit that would exceed what is left of the budget is cut to the words that fit, or left out if none does;
    - a unit that would overlap an earlier one is left out; units may touch, and keep numbers of their own;
    - no unit crosses a special token or the end of its row;
    - a row where every word exceeds the budget gets the first word drawn, whole.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from lm_lab.objectives.masked.noise import budget, uniform


def continuations(tokenizer: Any) -> Tensor:
    """Say of every token of a vocabulary whether it continues a word, (v,) bool.

    WordPiece marks such tokens (`##ing`). Byte-level BPE and Metaspace mark those that begin a word (`Ġthe`, `▁the`),
    so whatever follows without a space, such as a comma, belongs to the word before. The mark that most tokens bear
    is taken for the tokenizer's; where there is none, every token is a word.
    """
    vocabulary = tokenizer.get_vocab()
    marked = {mark: [piece.startswith(mark) for piece in vocabulary] for mark in ("##", "Ġ", "▁")}
    mark = max(marked, key=lambda mark: sum(marked[mark]))
    continues = torch.zeros(max(vocabulary.values()) + 1, dtype=torch.bool)
    if any(marked[mark]):
        continues[list(vocabulary.values())] = torch.tensor(marked[mark]) == (mark == "##")
    continues[tokenizer.all_special_ids] = False
    return continues


def word_begins(eligible: Tensor, continues: Tensor) -> Tensor:
    """Where a word begins, (b, t) bool: at an eligible token that continues none, or that follows an ineligible one."""
    follows = pad(eligible[:, :-1], (1, 0), value=False)
    return eligible & ~(continues & follows)


def choose_units(
    eligible: Tensor,
    continues: Tensor,
    lengths: Tensor,
    probability: float,
    generator: torch.Generator | None = None,
    first: Tensor | None = None,
) -> Tensor:
    """Choose units of 1 to N words, as the module says.

    Args:
        eligible: (b, t) bool, False for special tokens and padding.
        continues: (b, t) bool, True where a token continues the word of the token before it.
        lengths: (N,) weights of 1 to N words.
        probability: share of the eligible tokens to choose.
        generator: on the device of `eligible`; None uses torch's own.
        first: (b, t) bool, tokens whose words are taken before all others.

    Returns:
        (b, t), -1 where a token is not chosen, else the number of its unit in the order of drawing, from 0.
    """
    begins = word_begins(eligible, continues)
    starts = _shuffled(begins, generator, first)
    words = torch.multinomial(lengths, begins.numel(), True, generator=generator).view(begins.shape) + 1
    ends = _ends(eligible, begins, len(lengths))
    units, left = torch.full_like(starts, -1), budget(eligible, probability)
    for start in starts[:, : int(begins.sum(dim=1).max())].split(1, dim=1):
        if not left.any():
            break
        span = _fitting(start, words, ends, left)
        span &= ~(span & (units >= 0)).any(dim=1, keepdim=True)
        units = torch.where(span, units.amax(dim=1, keepdim=True) + 1, units)
        left = left - span.sum(dim=1, keepdim=True)
    one_word = _fitting(starts[:, :1], words, ends[..., :1], left.new_tensor(begins.shape[1]))
    return torch.where(one_word & (units < 0).all(dim=1, keepdim=True), 0, units)


def _shuffled(begins: Tensor, generator: torch.Generator | None, first: Tensor | None) -> Tensor:
    """Positions where words begin in random order, those of `first` before all others, then -1: (b, t)."""
    key = uniform(begins, generator) - (0.0 if first is None else first.float())
    order = key.masked_fill(~begins, 2.0).argsort(dim=1)
    return torch.where(begins.gather(1, order), order, -1)


def _fitting(start: Tensor, words: Tensor, ends: Tensor, left: Tensor) -> Tensor:
    """The longest unit of at most as many words as drawn that begins at `start` (b, 1) and fits the budget: (b, t).

    None where `start` is -1.
    """
    at = start.clamp(min=0)
    reach = ends.gather(1, at[..., None].expand(-1, -1, ends.shape[2])).squeeze(1)  # (b, N)
    allowed = torch.arange(ends.shape[2], device=ends.device) < words.gather(1, at)
    end = torch.where(allowed & (reach - at <= left), reach, at).amax(dim=1, keepdim=True)
    positions = torch.arange(words.shape[1], device=words.device)
    return (start >= 0) & (positions >= start) & (positions < end)


def _ends(eligible: Tensor, begins: Tensor, longest: int) -> Tensor:
    """Position after 1 to `longest` words from each position, (b, t, longest), stopping at ineligible tokens."""
    size = begins.shape[1]
    positions = torch.arange(size, device=begins.device)
    stops = torch.where(begins | ~eligible, positions, size)
    stops = pad(stops, (0, 2), value=size)[:, 1:]  # (b, t + 1), of the next position on
    after = stops.flip(1).cummin(dim=1).values.flip(1)
    goes_on = pad(begins, (0, 1), value=False)
    ends = [after]
    for _ in range(longest - 1):
        end = ends[-1]
        ends.append(torch.where(goes_on.gather(1, end), after.gather(1, end), end))
    return torch.stack(ends, dim=2)[:, :size]

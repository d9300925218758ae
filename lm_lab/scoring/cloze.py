"""Cloze: which word ends the passage? (Paperno et al. 2016, LAMBADA, https://arxiv.org/abs/1606.06031.)

The last word is right if each of its tokens is the likeliest where it stands, given those before it: what a greedy
search would write. From a masked model all of them are hidden at once, so it is told how many they are and that the
text ends there: an easier task than a decoder's. Perplexity is of the word: exp of the mean over passages of its
negative log-likelihood.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from lm_lab.errors import UsageError
from lm_lab.scoring.likelihood import Asked, Likelihood

BATCH = 16  # passages; they are long


@dataclass(frozen=True)
class Cloze:
    """Accuracy and perplexity of last words, and over how many passages; too long ones lost their beginning."""

    accuracy: float
    perplexity: float
    passages: int
    cut: int


def last_words(model: Likelihood, passages: Sequence[str]) -> Cloze:
    """Score the last word of each passage. Raises `UsageError` for one of a single word."""
    asked, cut = zip(*(_asked(model, passage) for passage in passages), strict=True)
    found = [each for begin in range(0, len(asked), BATCH) for each in model.together(asked[begin : begin + BATCH])]
    loss = fmean(-float(each.logs.double().sum()) for each in found)
    right = fmean(float(each.likeliest.all()) for each in found)
    return Cloze(right, math.exp(min(loss, 700.0)), len(found), sum(cut))


def _asked(model: Likelihood, passage: str) -> tuple[Asked, bool]:
    """As much of the end of a passage as the model reads, with its last word's tokens; whether some was left out."""
    words = passage.split(" ")
    if len(words) < 2 or not words[-1]:
        raise UsageError(f"the passage {passage!r:.80} has no last word after others.")
    start = len(passage) - len(words[-1])
    found = model.tokenizer(passage, return_offsets_mapping=True, add_special_tokens=False, verbose=False)
    ids, ends = list(found["input_ids"]), [end for _, end in found["offset_mapping"]]
    target = [place for place, end in enumerate(ends) if end > start]
    dropped = max(0, len(ids) + len(model.before) + len(model.after) - model.backbone.max_length)
    places = [place - dropped + len(model.before) for place in target]
    return Asked([*model.before, *ids[dropped:], *model.after], places), dropped > 0

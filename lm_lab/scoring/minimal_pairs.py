"""Minimal pairs: is the acceptable sentence likelier than the one that differs from it in a word?

Accuracy is the share of pairs of a paradigm in which it is; equal scores count half, since neither is preferred, and
pairs that are equal to the letter therefore always do (BLiMP has 7). A field is the mean of its paradigms, and so is
the whole (Warstadt et al. 2020, BLiMP, https://arxiv.org/abs/1912.00582).
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from lm_lab.metrics.shares import wilson
from lm_lab.scoring.likelihood import Likelihood

_Z = 1.959963984540054


class Pair(NamedTuple):
    """Two sentences, and where they belong."""

    good: str
    bad: str
    paradigm: str
    field: str


@dataclass(frozen=True)
class Accuracy:
    """Of a paradigm, a field or all: a share, its 95% interval, how many pairs."""

    name: str
    value: float
    low: float
    high: float
    pairs: int


def preferences(model: Likelihood, pairs: Sequence[Pair]) -> list[float]:
    """1 for a pair whose acceptable sentence is likelier, 0 for one whose other is, 0.5 for a tie."""
    values = model.texts([text for pair in pairs for text in (pair.good, pair.bad)])
    equal = [pair.good == pair.bad for pair in pairs]  # in batches of other lengths, the last digits may differ
    return [
        0.5 if same or good == bad else float(good > bad)
        for same, good, bad in zip(equal, values[::2], values[1::2], strict=True)
    ]


def accuracies(pairs: Sequence[Pair], preferred: Sequence[float]) -> dict[str, list[Accuracy]]:
    """`paradigms`, `fields` and `all`, each in the order of the pairs."""
    paradigms: dict[str, list[float]] = defaultdict(list)
    fields: dict[str, dict[str, None]] = defaultdict(dict)
    for pair, value in zip(pairs, preferred, strict=True):
        paradigms[pair.paradigm].append(value)
        fields[pair.field][pair.paradigm] = None
    return {
        "paradigms": [_share(name, values) for name, values in paradigms.items()],
        "fields": [_mean(name, (paradigms[p] for p in inside)) for name, inside in fields.items()],
        "all": [_mean("all", paradigms.values())],
    }


def _share(name: str, values: Sequence[float]) -> Accuracy:
    return Accuracy(name, fmean(values), *wilson(fmean(values), len(values)), len(values))


def _mean(name: str, groups: Iterable[Sequence[float]]) -> Accuracy:
    """The mean of shares: the paradigms are all that there are, so only their sentences vary."""
    listed = list(groups)
    value = fmean(fmean(values) for values in listed)
    error = math.sqrt(sum(_variance(values) for values in listed)) / len(listed)
    return Accuracy(name, value, max(0.0, value - _Z * error), min(1.0, value + _Z * error), sum(map(len, listed)))


def _variance(values: Sequence[float]) -> float:
    """Of the mean of values."""
    mean = fmean(values)
    return sum((value - mean) ** 2 for value in values) / len(values) ** 2


def summary(found: Mapping[str, list[Accuracy]]) -> list[Accuracy]:
    """The fields, then all."""
    return [*found["fields"], *found["all"]]

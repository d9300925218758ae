"""How well the states of a frozen backbone tell senses of a word apart, layer by layer; nothing is trained.

Of a lemma, all pairs of its tokens in SemCor (Miller et al. 1993, https://aclanthology.org/H93-1061): the area under
the ROC curve of the cosine of their vectors, same sense against different senses, ties half. A token's vector is the
mean of its pieces' states. The score is the mean over lemmas; its interval is of 1,000 resamples of the lemmas.

Two tokens make a pair if they are the same form of the lemma ("bank" with "bank", not with "banks"), unless all forms
are asked for: then a vector a word tells senses that prefer a form (a plural, a past), though it knows no context.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import rankdata
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.data.reading.senses import Sense
from lm_lab.errors import UsageError
from lm_lab.metrics.resamples import bootstrap
from lm_lab.probing.word_states import word_states

_FEWEST = 5
Token = tuple[int, int]  # number of a sentence, number of a word there


@dataclass(frozen=True)
class SenseLayer:
    """Of one layer, the mean area over lemmas and its 95% interval; of how many lemmas and pairs."""

    layer: int
    auc: float
    low: float
    high: float
    lemmas: int
    pairs: int


@dataclass(frozen=True)
class Lemma:
    """The pairs of one lemma: places of two tokens in `tokens`, and whether they have the same sense."""

    name: str
    first: np.ndarray
    second: np.ndarray
    same: np.ndarray


def lemmas(
    found: Sequence[Sense], most: int, all_forms: bool = False, limit: int | None = None
) -> tuple[list[Lemma], list[Token]]:
    """Lemmas that have pairs of either kind, 5 or more, and the tokens that they are of.

    Args:
        found: tagged tokens.
        most: tokens of a lemma, drawn where it has more.
        all_forms: pairs of different forms too.
        limit: so many lemmas, drawn.

    Raises:
        UsageError: no lemma has such pairs.
    """
    by_lemma: dict[str, list[Sense]] = defaultdict(list)
    for sense in found:
        by_lemma[sense.lemma].append(sense)
    draw, kept, tokens = np.random.default_rng(0), list[Lemma](), list[Token]()
    names = sorted(name for name, own in by_lemma.items() if len({sense.number for sense in own}) > 1)
    for name in draw.permutation(names).tolist():
        own = by_lemma[name]
        own = [own[place] for place in sorted(draw.permutation(len(own))[:most])]
        first, second = np.triu_indices(len(own), 1)
        alike = np.array([all_forms or own[a].form == own[b].form for a, b in zip(first, second, strict=True)], bool)
        first, second = first[alike], second[alike]
        same = np.array([own[a].number == own[b].number for a, b in zip(first, second, strict=True)], bool)
        if min(same.sum(), (~same).sum()) >= _FEWEST:
            kept.append(Lemma(name, first + len(tokens), second + len(tokens), same))
            tokens += [(sense.sentence, sense.word) for sense in own]
        if len(kept) == limit:
            break
    if not kept:
        raise UsageError("no lemma has enough pairs of the same and of different senses.")
    return kept, tokens


def auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """The share of pairs of a positive and a negative in which the positive has the higher score; ties count half."""
    ranks, count = rankdata(scores), int(positive.sum())
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(scores) - count)))


def score(vectors: Tensor, given: Sequence[Lemma]) -> list[SenseLayer]:
    """Every layer of `vectors` (tokens, layers, d)."""
    unit = F.normalize(vectors, dim=-1)
    pairs = sum(len(lemma.same) for lemma in given)
    by_layer = [np.array([_area(unit[:, layer], lemma) for lemma in given]) for layer in range(vectors.shape[1])]
    return [_layer(number, areas, pairs) for number, areas in enumerate(by_layer)]


def _layer(number: int, areas: np.ndarray, pairs: int) -> SenseLayer:
    low, high = bootstrap(lambda places: float(areas[places].mean()), len(areas))
    return SenseLayer(number, float(areas.mean()), low, high, len(areas), pairs)


def _area(unit: Tensor, lemma: Lemma) -> float:
    cosines = (unit[torch.from_numpy(lemma.first)] * unit[torch.from_numpy(lemma.second)]).sum(-1)
    return auc(np.round(cosines.double().numpy(), 6), lemma.same)  # equal vectors, whatever the order of a sum


def vectors_of(backbone: Backbone, sentences: Sequence[Sequence[str]], tokens: Sequence[Token]) -> Tensor:
    """(tokens, layers, d) the mean of the states of each word's pieces.

    Raises:
        UsageError: a word has no piece, as a sentence was cut in front of it.
    """
    wanted: dict[int, list[int]] = defaultdict(list)
    for place, (sentence, _) in enumerate(tokens):
        wanted[sentence].append(place)
    numbers, found = list(wanted), dict[int, Tensor]()
    for row, states in word_states(backbone, [sentences[number] for number in numbers]):
        for place in wanted[numbers[row]]:
            found[place] = _whole(states, sentences[numbers[row]], tokens[place][1])
    return torch.stack([found[place] for place in range(len(tokens))])


def _whole(states: Tensor, words: Sequence[str], word: int) -> Tensor:
    """A copy, so that its sentence need not stay in memory."""
    if states[word].isnan().any():
        raise UsageError(f"the word '{words[word]}' has no token in {' '.join(words)!r:.80}.")
    return states[word].clone()

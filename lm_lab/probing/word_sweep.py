"""Every layer's probe of a question about words, with the controls that a claim about a layer needs.

score       accuracy on another split, with the interval of 1,000 resamples of its sentences
control     the same where every word, or pair of words, has an answer of its own, drawn at random (Hewitt and Liang
            2019, https://arxiv.org/abs/1909.03368): what the probe can learn by heart; selectivity is the difference
random      the score on a backbone of the same architecture with random weights
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.metrics import Array
from lm_lab.metrics.resamples import bootstrap
from lm_lab.probing import linear
from lm_lab.probing.treebank import Example, Treebank
from lm_lab.probing.word_states import word_states

PENALTIES = (1e-3, 1e-2, 1e-1)
SOME = 2000  # training examples that the penalty is chosen on


@dataclass(frozen=True)
class WordLayer:
    """What one layer's probe found: shares from 0 to 1."""

    layer: int
    score: float
    low: float
    high: float
    control: float
    selectivity: float
    random: float | None
    majority: float


@dataclass(frozen=True)
class _Split:
    """Features (n, layers, w), answers (n,), the control's answers (n,), the sentence of each (n,)."""

    vectors: Tensor
    labels: Tensor
    control: Tensor
    sentences: Array


class _Data(NamedTuple):
    train: _Split
    test: _Split
    classes: int


def sweep(
    backbone: Backbone, random: Backbone | None, train: Treebank, test: Treebank, seed: int = 0
) -> list[WordLayer]:
    """Probe every layer.

    Args:
        backbone: frozen.
        random: the same with random weights; None leaves this control out.
        train: examples to fit on.
        test: examples to score.
        seed: of the control's answers and of resamples.
    """
    labels = sorted({example.label for example in train.examples})
    answers = _Answers(labels, [example.label for example in train.examples], seed)
    own = _Data(_split(backbone, train, answers), _split(backbone, test, answers), len(labels))
    beside = _Data(_split(random, train, answers), _split(random, test, answers), len(labels)) if random else None
    most = own.train.labels.mode().values
    majority = float((own.test.labels == most).float().mean())
    return [_layer(layer, own, beside, majority, seed) for layer in range(own.train.vectors.shape[1])]


class _Answers:
    """Numbers of labels, -1 for one never seen in training; and for the control, an answer for each word or pair."""

    def __init__(self, labels: Sequence[str], seen: Sequence[str], seed: int) -> None:
        self.ids = {label: place for place, label in enumerate(labels)}
        self.shares = np.array([seen.count(label) for label in labels]) / len(seen)
        self.draw, self.types = np.random.default_rng(seed), dict[str, int]()

    def control(self, words: Sequence[str], example: Example) -> int:
        """The answer of a type, drawn from the labels' distribution when it is first met."""
        own = words[example.word].lower()
        key = own if example.other is None else f"{own} {words[example.other].lower()}"
        if key not in self.types:
            self.types[key] = int(self.draw.choice(len(self.shares), p=self.shares))
        return self.types[key]


def _split(backbone: Backbone, bank: Treebank, answers: _Answers) -> _Split:
    states = dict(word_states(backbone, bank.sentences))
    vectors, kept = [], []
    for place, example in enumerate(bank.examples):
        own = states[example.sentence][example.word]
        if example.other is not None:
            other = states[example.sentence][example.other]
            own = torch.cat([own, other, own * other], dim=-1)
        if not own.isnan().any():
            vectors.append(own)
            kept.append(place)
    examples = [bank.examples[place] for place in kept]
    return _Split(
        torch.stack(vectors),
        torch.tensor([answers.ids.get(each.label, -1) for each in examples]),
        torch.tensor([answers.control(bank.sentences[each.sentence], each) for each in examples]),
        np.array([each.sentence for each in examples]),
    )


def _layer(layer: int, own: _Data, beside: _Data | None, majority: float, seed: int) -> WordLayer:
    right = _right(layer, own)
    control = float(_right(layer, own, control=True).mean())
    low, high = interval(right, own.test.sentences, seed)
    random = None if beside is None else float(_right(layer, beside).mean())
    score = float(right.mean())
    return WordLayer(layer, score, low, high, control, score - control, random, majority)


def _right(layer: int, data: _Data, control: bool = False) -> Array:
    """(n,) 1 where a probe of the layer is right."""
    known, true = ((each.control if control else each.labels) for each in (data.train, data.test))
    x = data.train.vectors[:, layer]
    penalty = linear.select(x[:SOME], known[:SOME], data.classes, penalties=PENALTIES, quick=True)
    probe = linear.fit(x, known, data.classes, penalty, quick=True)
    right: Array = (probe.scores(data.test.vectors[:, layer]).argmax(-1) == true).double().numpy()
    return right


def interval(right: Array, sentences: Array, seed: int) -> tuple[float, float]:
    """The 95% interval of a share over examples, of resamples of whole sentences."""
    _, place = np.unique(sentences, return_inverse=True)
    hits, sizes = np.bincount(place, right), np.bincount(place)
    return bootstrap(lambda places: hits[places].sum() / sizes[places].sum(), len(sizes), seed)

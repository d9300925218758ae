"""Every layer of a backbone in one pass over the texts, with the controls that a claim about a layer needs.

score            of a probe fitted on training features, on the validation split
control          the same with shuffled labels (Hewitt & Liang 2019, https://arxiv.org/abs/1909.03368); selectivity is
                 the difference; `memorised` is the control's score on its own training examples
random           the score on a backbone of the same architecture with random weights
bits             online code of the training labels, and how many times shorter than the uniform one it is
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.data.encoding.texts import EncodedTexts
from lm_lab.data.modules.glue import GLUE
from lm_lab.heads.readout import TextReadout, joined
from lm_lab.models import AdaptedModel
from lm_lab.models.binding import bind
from lm_lab.probing import description_length as mdl
from lm_lab.probing import linear
from lm_lab.strategies import WeightedFeatures
from lm_lab.tasks import TextTask, task_score


@dataclass(frozen=True)
class Layer:
    """What one layer's probe found; scores from 0 to 1, None where a graded task has no such figure."""

    layer: int
    score: float
    control: float
    selectivity: float
    memorised: float
    random: float | None
    bits: float | None
    compression: float | None


@dataclass(frozen=True)
class Features:
    """Pooled vectors (n, layers, d) or (n, layers, 4 d) of a pair, and labels (n,)."""

    vectors: Tensor
    labels: Tensor


def sweep(model: AdaptedModel, data: GLUE, random: AdaptedModel | None, seed: int = 0) -> list[Layer]:
    """Probe every layer of `model`'s backbone.

    Args:
        model: made by `reader`.
        data: training and validation examples.
        random: made by `reader` with random weights, or None to leave this control out.
        seed: of the order of examples and of shuffled labels.
    """
    bind(model, data)
    found, baselines = _both(model, data, seed), _both(random, data, seed) if random else None
    layers = []
    for layer in range(found[0].vectors.shape[1]):
        baseline = _probed(*baselines, layer, data.task).score if baselines else None
        layers.append(_layer(layer, *found, data.task, seed, baseline))
    return layers


def reader(backbone: Backbone, data: GLUE, **reading: str | None) -> AdaptedModel:
    """An adaptation that reads all layers and trains nothing of the backbone."""
    return AdaptedModel(backbone, WeightedFeatures(), data.task, **reading).eval()  # type: ignore[arg-type]


def _both(model: AdaptedModel, data: GLUE, seed: int) -> tuple["Features", "Features"]:
    return features(model, data, "train", seed), features(model, data, data.validation_splits[0], seed)


@torch.no_grad()
def features(model: AdaptedModel, data: GLUE, split: str, seed: int) -> Features:
    """Vectors and labels of a split, in random order."""
    if split not in data.encoded:
        data.encode((split,))
    encoded = data.encoded[split]
    assert isinstance(encoded, EncodedTexts)
    order = torch.randperm(len(encoded), generator=torch.Generator().manual_seed(seed))
    vectors = torch.cat(list(_batches(model, encoded, data.eval_batch_size)))
    return Features(vectors[order], encoded.labels[order])


def _batches(model: AdaptedModel, encoded: EncodedTexts, size: int) -> Iterator[Tensor]:
    assert isinstance(model.head, TextReadout)
    for start in range(0, len(encoded), size):
        batch = encoded.collate(list(range(start, min(start + size, len(encoded)))))
        pooled = model.features(batch)  # (b, texts, layers, d)
        yield torch.stack([joined(pooled[:, :, layer], model.head.added) for layer in range(pooled.shape[2])], dim=1)


def _layer(
    layer: int, train: Features, validation: Features, task: TextTask, seed: int, baseline: float | None
) -> Layer:
    classes = len(task.labels)
    found = _probed(train, validation, layer, task)
    dealt, other = (Features(split.vectors, mdl.shuffled(split.labels, seed)) for split in (train, validation))
    control = _probed(dealt, other, layer, task)
    memorised = _score(control.probe, train.vectors[:, layer], dealt.labels, task)
    bits = mdl.online_code(train.vectors[:, layer], train.labels, classes) if classes else None
    shorter = mdl.uniform_code(len(train.labels), classes) / bits if bits else None
    return Layer(layer, found.score, control.score, found.score - control.score, memorised, baseline, bits, shorter)


class _Probed(NamedTuple):
    score: float
    probe: linear.Probe


def _probed(train: Features, test: Features, layer: int, task: TextTask) -> _Probed:
    x, classes = train.vectors[:, layer], len(task.labels)
    probe = linear.fit(x, train.labels, classes, linear.select(x, train.labels, classes))
    return _Probed(_score(probe, test.vectors[:, layer], test.labels, task), probe)


def _score(probe: linear.Probe, x: Tensor, y: Tensor, task: TextTask) -> float:
    scores = probe.scores(x)
    predictions = scores.argmax(-1) if task.labels else scores.squeeze(-1)
    return task_score(task.scores(predictions, y))

"""Sentence vectors as they are: does their cosine rank pairs of sentences as people do?

Spearman's rank correlation with people's scores, a layer at a time (Hill et al. 2016, https://arxiv.org/abs/1602.03483;
Reimers and Gurevych 2019); the interval is of 1,000 resamples of the pairs. Vectors that vary along few directions, or
about a mean that is far from 0, have cosines that tell of those alone, whatever else they hold. So, of all sentences:

    dimensions    (sum of l)^2 / sum of l^2, l the eigenvalues of the covariance: 1 along a line, d if evenly spread
    whitened      rho of cosines of W (v - mean), W W' the inverse of the covariance (Su et al. 2021, arXiv 2103.15316)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.backbones.pooling import FixedPooling, pool
from lm_lab.data.encoding.encoding import Encoding
from lm_lab.data.encoding.template import with_template
from lm_lab.data.encoding.texts import encode_texts
from lm_lab.data.reading.lines import given_lines
from lm_lab.data.reading.text_rows import text_rows
from lm_lab.metrics import Array, spearman
from lm_lab.metrics.resamples import bootstrap

BATCH = 64
_RANK = 1e-10  # of the largest variance: what is less is none


@dataclass(frozen=True)
class Similarity:
    """Of one layer: Spearman's rho with its 95% interval, over how many pairs, and how its vectors are spread.

    `whitened` is nan where there are not twice as many sentences as a vector has numbers.
    """

    layer: int
    spearman: float
    low: float
    high: float
    pairs: int
    whitened: float
    dimensions: float


def similarities(
    backbone: Backbone, pairs: Sequence[tuple[str, str]], scores: Array, pooling: FixedPooling = "mean"
) -> list[Similarity]:
    """Compare the vectors of each pair, layer by layer.

    Args:
        backbone: gives the states; in eval mode from here on.
        pairs: of sentences.
        scores: (n,) people's.
        pooling: of tokens to a vector.
    """
    sides = [_vectors(backbone, [pair[side] for pair in pairs], pooling) for side in (0, 1)]  # each (n, layers, d)
    return [
        _agreement(layer, torch.stack([side[:, layer] for side in sides]).double(), scores)
        for layer in range(sides[0].shape[1])
    ]


def _agreement(layer: int, vectors: Tensor, scores: Array) -> Similarity:
    """Of vectors (2, n, d)."""
    cosines = _cosines(vectors)
    low, high = bootstrap(lambda places: spearman(cosines[places], scores[places]), len(scores))
    white, dimensions = _whitened(vectors)
    whitened = math.nan if white is None else spearman(_cosines(white), scores)
    return Similarity(layer, spearman(cosines, scores), low, high, len(scores), whitened, dimensions)


def _cosines(vectors: Tensor) -> Array:
    """(n,) of pairs of vectors (2, n, d)."""
    found: Array = F.cosine_similarity(vectors[0], vectors[1], dim=-1).numpy()
    return found


def _whitened(vectors: Tensor) -> tuple[Tensor | None, float]:
    """Vectors (2, n, d) with no mean and no covariance, None of too few; and how many dimensions they fill."""
    centred = vectors - vectors.mean((0, 1))
    size = centred.shape[-1]
    values, directions = torch.linalg.eigh(torch.cov(centred.reshape(-1, size).T).view(size, size))
    values = values.clamp(min=0)
    dimensions = float(values.sum() ** 2 / (values**2).sum())
    real = values > _RANK * values[-1]
    few = vectors.shape[0] * vectors.shape[1] < 2 * size or not real.any()
    return None if few else centred @ (directions[:, real] / values[real].sqrt()), dimensions


@torch.no_grad()
def _vectors(backbone: Backbone, texts: Sequence[str], pooling: FixedPooling) -> Tensor:
    """(n, layers, d), with all that the backbone asks for beside ids."""
    backbone.eval()
    tokenizer = with_template(backbone.tokenizer, None, extract=backbone.causal)
    encoding = Encoding(
        tokenizer, "cross_encoder", min(512, backbone.max_length), segments=backbone.segments, asks=backbone.asks,
        kept=False,
    )  # fmt: skip
    encoded = encode_texts(text_rows(given_lines(list(texts), ("text",))), encoding)
    order = np.argsort(-encoded.lengths, kind="stable")
    parts = []
    for begin in range(0, len(order), BATCH):
        (text,) = encoded.collate(order[begin : begin + BATCH].tolist())["texts"]
        given = {name: value.to(backbone.device) for name, value in text.items()}
        parts.append(
            torch.stack([pool(state.float(), given["attention_mask"], pooling) for state in backbone(**given)], 1).cpu()
        )
    found = torch.cat(parts)
    return torch.empty_like(found).index_copy_(0, torch.from_numpy(order), found)

"""Sentence vectors as they are: does their cosine rank pairs of sentences as people do?

Spearman's rank correlation with people's scores, a layer at a time (Hill et al. 2016, https://arxiv.org/abs/1602.03483;
Reimers and Gurevych 2019); the interval is of 1,000 resamples of the pairs.
"""

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


@dataclass(frozen=True)
class Similarity:
    """Of one layer: Spearman's rho with its 95% interval, over how many pairs."""

    layer: int
    spearman: float
    low: float
    high: float
    pairs: int


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
    first, second = (_vectors(backbone, [pair[side] for pair in pairs], pooling) for side in (0, 1))
    cosines = F.cosine_similarity(first, second, dim=-1).double().numpy()  # (n, layers)
    return [_agreement(layer, cosines[:, layer], scores) for layer in range(cosines.shape[1])]


def _agreement(layer: int, cosines: Array, scores: Array) -> Similarity:
    low, high = bootstrap(lambda places: spearman(cosines[places], scores[places]), len(scores))
    return Similarity(layer, spearman(cosines, scores), low, high, len(scores))


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

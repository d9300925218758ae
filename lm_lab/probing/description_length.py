"""Minimum description length by online coding (Voita & Titov 2020, https://arxiv.org/abs/2003.12298).

    L = t_1 log2 K - sum_i log2 p_(theta_i)(y_(t_i+1 : t_(i+1)) | x)        theta_i fitted on the first t_i examples

How many bits it takes to send the labels to someone who has the features: easy to extract means few bits, whatever
the probe's final accuracy. The uniform code takes n log2 K; compression is how many times shorter this one is.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor

from lm_lab.probing import linear

# percent of the training examples that have been sent when the probe is fitted anew
PORTIONS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.25, 12.5, 25.0, 50.0, 100.0)


def online_code(x: Tensor, y: Tensor, classes: int) -> float:
    """Bits of the online code; x (n, d), y (n,) class ids, in random order.

    Each probe's penalty is chosen on what has been sent, so that the receiver can choose the same.
    """
    ends = portions(len(x), classes)
    bits = ends[0] * math.log2(classes)
    for start, end in pairwise(ends):
        penalty = linear.select(x[:start], y[:start], classes)
        probe = linear.fit(x[:start], y[:start], classes, penalty)
        nats = linear.loss(probe.scores(x[start:end]), y[start:end], classes)
        bits += (end - start) * nats / math.log(2)
    return bits


def portions(examples: int, classes: int) -> list[int]:
    """Numbers of examples at which the probe is fitted anew; the first has a few for each class."""
    ends = {round(examples * percent / 100) for percent in PORTIONS}
    return sorted(end for end in ends if end >= min(examples, 4 * classes))


def uniform_code(examples: int, classes: int) -> float:
    """Bits without any model."""
    return examples * math.log2(classes)


def shuffled(y: Tensor, seed: int) -> Tensor:
    """Labels dealt out anew: the control task."""
    return y[torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))]

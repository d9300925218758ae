"""One row of settings for each strategy: a strategy without a row fails."""

import pytest

from lm_lab import strategies
from lm_lab.strategies import (
    AdaptationStrategy,
    BitFit,
    FullFineTuning,
    HoulsbyAdapter,
    LinearProbe,
    LoRA,
    MLPProbe,
    PartialFineTuning,
)

ROWS = {
    FullFineTuning: {},
    LinearProbe: {},
    MLPProbe: {"hidden": 16},
    PartialFineTuning: {"blocks": 1},
    HoulsbyAdapter: {"size": 8},
    LoRA: {"rank": 4},
    BitFit: {},
}
ALL = {
    kind
    for kind in vars(strategies).values()
    if isinstance(kind, type) and issubclass(kind, AdaptationStrategy) and kind is not AdaptationStrategy
}


@pytest.fixture(params=sorted(ALL, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def strategy(request):
    assert request.param in ROWS, f"{request.param.__name__} needs a row of settings here"
    return request.param(**ROWS[request.param])

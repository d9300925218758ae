"""Settings out of range are one line that names them, before anything is made."""

import math

import pytest

from lm_lab import AdaptedModel
from lm_lab import strategies as s
from lm_lab.errors import UsageError
from lm_lab.tasks import glue_task

HUGE = 10**12


@pytest.mark.parametrize(
    ("make_strategy", "message"),
    [
        *((lambda v=v: s.LoRA(dropout=v), "^dropout=") for v in (-1, 1, 1.5, math.nan)),
        *((lambda v=v: s.LoRA(rank=v), "^rank=") for v in (-1, 0, HUGE)),
        *((lambda v=v: s.DoRA(alpha=v), "^alpha=") for v in (math.nan, math.inf)),
        *((lambda v=v: s.MLPProbe(hidden=v), "^hidden=") for v in (-1, 0, HUGE)),
        (lambda: s.MLPProbe(dropout=2), "^dropout="),
        (lambda: s.MLPProbe(penalty=1e-2), "^penalty="),
        *((lambda v=v: s.LinearProbe(penalty=v), "^penalty=") for v in (-1.0, 0.0, math.inf)),
        *((lambda v=v: s.PrefixTuning(hidden=v), "^hidden=") for v in (-1, 0, HUGE)),
        *((lambda v=v: s.PTuningV2(length=v), "^length=") for v in (-1, 0, HUGE)),
        *((lambda v=v: s.PromptTuning(length=v), "^length=") for v in (-1, 0, HUGE)),
        *((lambda v=v: s.PfeifferAdapter(size=v), "^size=") for v in (-1, 0, HUGE)),
        (lambda: s.ParallelAdapter(scale=math.nan), "^scale="),
        (lambda: s.RandomMask(seed=-1), "^seed="),
        *((lambda v=v: s.VeRA(rank=v), "^rank=") for v in (-1, 0, HUGE)),
        *((lambda v=v: s.VeRA(initial=v), "^initial=") for v in (math.nan, math.inf)),
        (lambda: s.VeRA(dropout=1), "^dropout="),
        (lambda: s.VeRA(seed=-1), "^seed="),
        (lambda: s.VeRA(roles=()), r"^roles=\[\]: VeRA needs"),
        *((lambda v=v: s.FullFineTuning(layer_decay=v), "^layer_decay=") for v in (-1, 0, math.nan)),
        (lambda: s.GradualUnfreezing(blocks=0), "^blocks="),
    ],
)
def test_settings_out_of_range_are_refused(make_strategy, message):
    with pytest.raises(UsageError, match=message):
        make_strategy()


@pytest.mark.parametrize("strategy", [s.LoRA(rank=100), s.DoRA(rank=100)])
def test_a_rank_above_the_widths_is_taken(make, strategy):
    model = AdaptedModel(make(), strategy, glue_task("sst2"))
    assert model.backbone.model.get_parameter("encoder.layer.0.attention.self.query.lora_query.down").shape == (100, 32)

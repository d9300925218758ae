"""Adaptation strategies: what is frozen, what is added, and where."""

from lm_lab.strategies.adapter import HoulsbyAdapter, PfeifferAdapter
from lm_lab.strategies.base import AdaptationStrategy
from lm_lab.strategies.bitfit import BitFit
from lm_lab.strategies.combination import Combination
from lm_lab.strategies.dora import DoRA
from lm_lab.strategies.feature_based import FeatureBased
from lm_lab.strategies.full import FullFineTuning
from lm_lab.strategies.gradual import GradualUnfreezing
from lm_lab.strategies.ia3 import IA3
from lm_lab.strategies.layer_norm import LayerNormTuning
from lm_lab.strategies.lora import LoRA
from lm_lab.strategies.parallel_adapter import ParallelAdapter
from lm_lab.strategies.partial import PartialFineTuning
from lm_lab.strategies.prefix_tuning import PrefixTuning, PTuningV2
from lm_lab.strategies.probe import LinearProbe, MLPProbe
from lm_lab.strategies.prompt import PromptTuning
from lm_lab.strategies.random_mask import RandomMask
from lm_lab.strategies.vera import VeRA
from lm_lab.strategies.weighted_features import WeightedFeatures

__all__ = [
    "IA3",
    "AdaptationStrategy",
    "BitFit",
    "Combination",
    "DoRA",
    "FeatureBased",
    "FullFineTuning",
    "GradualUnfreezing",
    "HoulsbyAdapter",
    "LayerNormTuning",
    "LinearProbe",
    "LoRA",
    "MLPProbe",
    "PTuningV2",
    "ParallelAdapter",
    "PartialFineTuning",
    "PfeifferAdapter",
    "PrefixTuning",
    "PromptTuning",
    "RandomMask",
    "VeRA",
    "WeightedFeatures",
]

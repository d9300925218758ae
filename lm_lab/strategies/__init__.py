"""Adaptation strategies: what is frozen, what is added, and where."""

from lm_lab.strategies.adapters import HoulsbyAdapter
from lm_lab.strategies.base import AdaptationStrategy
from lm_lab.strategies.bitfit import BitFit
from lm_lab.strategies.full import FullFineTuning
from lm_lab.strategies.lora import LoRA
from lm_lab.strategies.partial import PartialFineTuning
from lm_lab.strategies.probe import LinearProbe, MLPProbe

__all__ = [
    "AdaptationStrategy",
    "BitFit",
    "FullFineTuning",
    "HoulsbyAdapter",
    "LinearProbe",
    "LoRA",
    "MLPProbe",
    "PartialFineTuning",
]

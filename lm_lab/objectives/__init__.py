"""Pretraining objectives: what is hidden, what is predicted."""

from lm_lab.objectives.base import Loss, Objective
from lm_lab.objectives.causal_lm import CausalLM
from lm_lab.objectives.masked_lm import MaskedLM
from lm_lab.objectives.weighted_sum import SumOfObjectives

__all__ = ["CausalLM", "Loss", "MaskedLM", "Objective", "SumOfObjectives"]

"""Pretraining objectives: what is hidden, what is predicted."""

from lm_lab.objectives.base import Loss, Objective
from lm_lab.objectives.masked_lm import MaskedLM

__all__ = ["Loss", "MaskedLM", "Objective"]

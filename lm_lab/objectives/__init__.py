"""Pretraining objectives: what is hidden, what is predicted."""

from lm_lab.objectives.base import Loss, Objective
from lm_lab.objectives.causal_lm import CausalLM
from lm_lab.objectives.masked_lm import MaskedLM
from lm_lab.objectives.masking import Masking, NGramMasking, SpanMasking, TokenMasking, WholeWordMasking
from lm_lab.objectives.phrases import EntityMasking
from lm_lab.objectives.span_bert import SpanBERT
from lm_lab.objectives.weighted_sum import SumOfObjectives

__all__ = [
    "CausalLM",
    "EntityMasking",
    "Loss",
    "MaskedLM",
    "Masking",
    "NGramMasking",
    "Objective",
    "SpanBERT",
    "SpanMasking",
    "SumOfObjectives",
    "TokenMasking",
    "WholeWordMasking",
]

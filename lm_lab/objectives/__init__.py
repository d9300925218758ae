"""Pretraining objectives: what is hidden, what is predicted."""

from lm_lab.objectives.autoregressive.bidirectional_lm import BidirectionalLM
from lm_lab.objectives.autoregressive.causal_lm import CausalLM
from lm_lab.objectives.autoregressive.permutation_lm import PermutationLM
from lm_lab.objectives.autoregressive.transformer_xl import TransformerXL
from lm_lab.objectives.base import Loss, Objective
from lm_lab.objectives.denoising.bart import BART
from lm_lab.objectives.denoising.mass import MASS
from lm_lab.objectives.denoising.span_corruption import SpanCorruption
from lm_lab.objectives.denoising.t5_noise import BertStyle, Deshuffling, DropTokens, MassStyle, PrefixLM, ReplaceSpans
from lm_lab.objectives.masked.masked_lm import MaskedLM
from lm_lab.objectives.masked.masking import Masking, NGramMasking, SpanMasking, TokenMasking, WholeWordMasking
from lm_lab.objectives.masked.phrases import EntityMasking
from lm_lab.objectives.masked.span_bert import SpanBERT
from lm_lab.objectives.masked.unilm import UniLM
from lm_lab.objectives.masked.word_structure import WordStructure
from lm_lab.objectives.replaced_token import ReplacedToken
from lm_lab.objectives.sentence_relation import NextSentence, SentenceOrder, SentenceStructure
from lm_lab.objectives.sentences.quick_thoughts import QuickThoughts
from lm_lab.objectives.sentences.skip_thoughts import SkipThoughts
from lm_lab.objectives.weighted_sum import SumOfObjectives

__all__ = [
    "BART",
    "MASS",
    "BertStyle",
    "BidirectionalLM",
    "CausalLM",
    "Deshuffling",
    "DropTokens",
    "EntityMasking",
    "Loss",
    "MaskedLM",
    "Masking",
    "MassStyle",
    "NGramMasking",
    "NextSentence",
    "Objective",
    "PermutationLM",
    "PrefixLM",
    "QuickThoughts",
    "ReplaceSpans",
    "ReplacedToken",
    "SentenceOrder",
    "SentenceStructure",
    "SkipThoughts",
    "SpanBERT",
    "SpanCorruption",
    "SpanMasking",
    "SumOfObjectives",
    "TokenMasking",
    "TransformerXL",
    "UniLM",
    "WholeWordMasking",
    "WordStructure",
]

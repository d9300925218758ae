"""Fitting word vectors to a text: word2vec, GloVe, fastText."""

from lm_lab.words.fitting.fit import fit
from lm_lab.words.models import CBOW, MODELS, FastText, GloVe, Model, SkipGram

__all__ = ["CBOW", "MODELS", "FastText", "GloVe", "Model", "SkipGram", "fit"]

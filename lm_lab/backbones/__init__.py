"""Backbones: token ids in, hidden states of every layer out."""

from lm_lab.backbones.base import Backbone
from lm_lab.backbones.elmo import ELMo
from lm_lab.backbones.embeddings import CharacterCNN, GlyphCNN, TokenEmbeddings
from lm_lab.backbones.lstm import LSTM
from lm_lab.backbones.static_vectors import StaticVectors
from lm_lab.backbones.transformers_backbone import TransformersBackbone
from lm_lab.backbones.tree_lstm import TreeLSTM

UNNAMED = {"class_path": "lm_lab.backbones.TransformersBackbone"}  # what a configuration means that names no class

__all__ = [
    "LSTM",
    "UNNAMED",
    "Backbone",
    "CharacterCNN",
    "ELMo",
    "GlyphCNN",
    "StaticVectors",
    "TokenEmbeddings",
    "TransformersBackbone",
    "TreeLSTM",
]

"""Backbones: token ids in, hidden states of every layer out."""

from lm_lab.backbones.backbone import Backbone

__all__ = ["Backbone"]

"""Packs: several adaptations of one backbone, trained in one pass over the rows of all."""

from lm_lab.packs.adaptation import PackedAdaptation
from lm_lab.packs.model import Pack

__all__ = ["Pack", "PackedAdaptation"]

"""Heads: what reads a backbone for a task's form, or writes with it, and everything on the way to scores."""

from lm_lab.heads.base import Head
from lm_lab.heads.build import build_head
from lm_lab.heads.scorers import HeadKind

__all__ = ["Head", "HeadKind", "build_head"]

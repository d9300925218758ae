"""Many users, one backbone: deltas of one kind in one batch, each text with its own."""

from lm_lab.serving.bank import Bank

__all__ = ["Bank"]

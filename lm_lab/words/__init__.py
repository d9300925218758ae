"""Word vectors: files of them, what lies near a word, and how well they agree with people."""

from lm_lab.words.vectors import WordVectors

__all__ = ["WordVectors"]

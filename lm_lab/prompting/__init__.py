"""Prompting: a pretrained language model answers a task as it is, by the likelihood of label words in a template."""

from lm_lab.prompting.prompting import Prompting

__all__ = ["Prompting"]

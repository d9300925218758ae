"""A small closed language with a lexicon, a corpus to pretrain on and tasks in the schemas of GLUE and SQuAD.

All sentences are made here, from a seed: pretraining, adaptation and their comparison run without any
download. See docs/microworld.md for what must be learned from the corpus and what each task asks.
"""

from lm_lab.data.microworld.documents import SEGMENT, corpus
from lm_lab.data.microworld.tables import TASKS, schema, splits, table
from lm_lab.data.microworld.tokenization import tokenizer, vocabulary

__all__ = ["SEGMENT", "TASKS", "corpus", "schema", "splits", "table", "tokenizer", "vocabulary"]

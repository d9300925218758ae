"""How a corpus becomes rows: one a document, packed, going on from batch to batch, pairs of sentences."""

from lm_lab.data.corpora.rows.base import CorpusRows, RowLayout, RowsFactory
from lm_lab.data.corpora.rows.consecutive import ConsecutiveSentences
from lm_lab.data.corpora.rows.continuing import Continuing
from lm_lab.data.corpora.rows.documents import Documents
from lm_lab.data.corpora.rows.packed import Packed
from lm_lab.data.corpora.rows.sentence_pairs import NextSentencePairs, SentenceOrderPairs, SentencePairs, ThreeWayPairs

__all__ = [
    "ConsecutiveSentences",
    "Continuing",
    "CorpusRows",
    "Documents",
    "NextSentencePairs",
    "Packed",
    "RowLayout",
    "RowsFactory",
    "SentenceOrderPairs",
    "SentencePairs",
    "ThreeWayPairs",
]

"""Token embeddings that are computed, in place of a table."""

from lm_lab.backbones.embeddings.base import ComputedEmbeddings, TokenEmbeddings
from lm_lab.backbones.embeddings.character_cnn import CharacterCNN

__all__ = ["CharacterCNN", "ComputedEmbeddings", "TokenEmbeddings"]

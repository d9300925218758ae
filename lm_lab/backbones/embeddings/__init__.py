"""Token embeddings that are computed, in place of a table."""

from lm_lab.backbones.embeddings.base import ComputedEmbeddings, TokenEmbeddings
from lm_lab.backbones.embeddings.character_cnn import CharacterCNN
from lm_lab.backbones.embeddings.glyph_cnn import GlyphCNN

__all__ = ["CharacterCNN", "ComputedEmbeddings", "GlyphCNN", "TokenEmbeddings"]

"""An adapted model: backbone, strategy and head; what it leaves behind, and what it costs."""

from lm_lab.models.adapted import AdaptedModel

__all__ = ["AdaptedModel"]

"""lm_lab: how to adapt a language model, and what each choice costs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lm_lab.backbones import Backbone, TransformersBackbone
    from lm_lab.data.modules.glue import GLUE
    from lm_lab.errors import UsageError
    from lm_lab.models import AdaptedModel
    from lm_lab.models.binding import bind
    from lm_lab.training.adaptation import Adaptation, adaptation_of

__version__ = "0.1.0"

# imported on first use: torch and transformers take seconds, `lm-lab --help` must not
_HOMES = {
    "AdaptedModel": "lm_lab.models",
    "Adaptation": "lm_lab.training.adaptation",
    "adaptation_of": "lm_lab.training.adaptation",
    "bind": "lm_lab.models.binding",
    "Backbone": "lm_lab.backbones",
    "TransformersBackbone": "lm_lab.backbones",
    "GLUE": "lm_lab.data.modules.glue",
    "UsageError": "lm_lab.errors",
}

__all__ = [
    "GLUE",
    "Adaptation",
    "AdaptedModel",
    "Backbone",
    "TransformersBackbone",
    "UsageError",
    "adaptation_of",
    "bind",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'lm_lab' has no attribute '{name}'")

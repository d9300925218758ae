"""Layer-wise learning rates: each block learns `decay` times as fast as the one above it (Sun et al. 2019,
How to Fine-Tune BERT for Text Classification, https://arxiv.org/abs/1905.05583).

    lr_L = lr,   lr_(l-1) = decay lr_l,   embeddings: lr_0
"""

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError


def require(decay: float) -> None:
    """Raise `UsageError` for a decay outside of (0, 1]."""
    if not 0 < decay <= 1:
        raise UsageError(f"layer_decay={decay}: expected a factor above 0 and up to 1, such as 0.95; 1 is no decay.")


def require_layers(backbone: Backbone, decay: float) -> None:
    """Raise `UsageError` where layers cannot learn at rates of their own."""
    if decay != 1 and backbone.shared_layers:
        raise UsageError(f"layer_decay={decay}: {backbone.kind} shares one block between all layers.")


def scale(backbone: Backbone, name: str, decay: float) -> float:
    """What the rate of the backbone's parameter `name` is multiplied by."""
    if decay == 1:
        return 1.0
    return decay ** max(0, backbone.num_layers - backbone.depth(name))

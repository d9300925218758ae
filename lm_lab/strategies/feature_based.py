"""Feature-based: a small model of the task's own reads a mix of frozen layers (Peters et al. 2018, ELMo).

    y = LSTM([E' x; gamma * sum_j softmax(w)_j h_j])        j = 0 (embeddings) .. L

E' are word embeddings of the task's own, over the backbone's ids, and the LSTM reads both ways; both begin with random
weights and train with the head, as whose they count. Where `WeightedFeatures` mixes vectors of texts, this mixes those
of tokens.
"""

from dataclasses import dataclass
from typing import ClassVar

from lm_lab.backbones import Backbone
from lm_lab.heads.mix import ScalarMix
from lm_lab.heads.task_model import TaskModel
from lm_lab.strategies import limits
from lm_lab.strategies.about import Group, Paper
from lm_lab.strategies.base import AdaptationStrategy


@dataclass(frozen=True)
class FeatureBased(AdaptationStrategy):
    """A bidirectional LSTM with word embeddings of its own reads a mix of frozen layers.

    Args:
        size: of an own embedding.
        hidden: units of either direction.
        dropout: on what the LSTM reads.
        norm: normalise each hidden state before it is mixed.
    """

    group: ClassVar[Group] = "features"
    paper: ClassVar[Paper] = Paper(
        "Peters et al.", 2018, "Deep contextualized word representations", "https://arxiv.org/abs/1802.05365"
    )
    learning_rate: ClassVar[float] = 1e-3
    learning_rates: ClassVar[tuple[float, ...]] = (3e-4, 1e-3, 3e-3)
    head_alone: ClassVar[bool] = True

    size: int = 64
    hidden: int = 64
    dropout: float = 0.5
    norm: bool = False

    def __post_init__(self) -> None:
        limits.between(1, limits.WIDEST, size=self.size, hidden=self.hidden)
        limits.dropout(self.dropout)

    def inject(self, backbone: Backbone) -> None:
        """Leave everything frozen."""

    def parameters(self, backbone: Backbone) -> int:  # noqa: ARG002
        """None."""
        return 0

    def layers(self, backbone: Backbone) -> tuple[int, ...]:
        """All hidden states."""
        return tuple(range(backbone.num_layers + 1))

    def mix(self, backbone: Backbone) -> ScalarMix:
        """A weight for every hidden state."""
        return ScalarMix(backbone.num_layers + 1, self.norm)

    def beside(self, backbone: Backbone) -> TaskModel:
        """Embeddings and LSTM."""
        return TaskModel(backbone.vocabulary_size, self.size, backbone.hidden_size, self.hidden, self.dropout)

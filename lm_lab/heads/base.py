"""What every head is: it takes a backbone and a batch and gives what a task judges."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.data.encoding.encoding import Encoding
from lm_lab.heads.mix import ScalarMix
from lm_lab.tasks import Task


class Head(nn.Module, ABC):
    """What reads a backbone for a task, or writes with it: its parameters are the head's in every count.

    Attributes:
        layers: hidden states that it reads.
        mix: how several become one; None where one is read.
        fixed_features: whether what it computes of frozen states never changes, so that it may be kept.
    """

    layers: tuple[int, ...]
    mix: ScalarMix | None

    @property
    @abstractmethod
    def fixed_features(self) -> bool:
        """True if `features` depends on nothing that the head trains."""

    @abstractmethod
    def features(self, backbone: Backbone, batch: dict[str, Any]) -> Tensor:
        """What it reads of a batch, up to where its own training begins."""

    @abstractmethod
    def scores(self, backbone: Backbone, batch: dict[str, Any]) -> Tensor:
        """Scores (b, outputs), or (b, t, outputs); of a text to be written, (n, V) for the targets' real tokens."""

    def encoding(self, encoding: Encoding) -> Encoding:
        """How the head wants its texts, of how the model would read them."""
        return encoding

    def given(self, examples: Callable[[], Any]) -> None:
        """Take what it shows of the training set; `examples` reads the rows."""

    def outputs(self, backbone: Backbone, batch: dict[str, Any], task: Task) -> Any:  # noqa: ARG002
        """What the task judges: the scores, unless a text is to be written."""
        return self.scores(backbone, batch)

"""What a task is: what the head puts out for it, its loss, what is kept of an example, its metrics, its splits."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any, ClassVar, Literal, NamedTuple, Self

from torch import Tensor

from lm_lab.metrics import Array, Metric, score
from lm_lab.tasks.names import require_name, require_split

Reads = Literal["text", "tokens", "sequence"]


class Judged(NamedTuple):
    """What the metrics need of each example.

    Attributes:
        values: (b,) a class or a number, or (b, k) where an example adds k counts to a metric.
        labels: (b,) what is true, or what the metric weighs the example by.
    """

    values: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Task(ABC):
    """A task. Its own fields are settings; a task is saved with what was trained on it.

    Args:
        name: as in the data's folder and on the command line.
        metrics: functions of (values, labels); their mean is the task's score, as GLUE defines it.
        train: the split to train on; empty if there is none (AX).
        validation: the splits to report on; more than one are scored apart and averaged (MNLI).
        test: split -> name of the file that a benchmark's server expects.

    Raises:
        UsageError: a name that could not be one of a file.

    Attributes:
        reads: whether the head sees a vector a text, or a vector a token.
    """

    reads: ClassVar[Reads] = "text"

    name: str
    _: dataclasses.KW_ONLY
    metrics: tuple[Metric, ...] = ()
    train: str = "train"
    validation: tuple[str, ...] = ("validation",)
    test: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Check the names: they may come from a delta."""
        require_name(self.name, "the task's name")
        for split, file in self.test:
            require_split(split), require_name(file, "the name of a file,")
        for split in (*self.validation, *filter(None, [self.train])):
            require_split(split)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class words in the order of their ids; empty where there are no classes."""
        return ()

    @property
    def paired(self) -> bool:
        """True for two texts that may be encoded apart."""
        return False

    @property
    def marked(self) -> bool:
        """True if a text is read at the words that its data marks, in place of the whole."""
        return False

    @property
    def details(self) -> tuple[Metric, ...]:
        """More functions like `metrics`, reported and not averaged."""
        return ()

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Number of scores the head gives to a text or a token."""

    @abstractmethod
    def loss(self, outputs: Tensor, batch: Mapping[str, Any]) -> Tensor:
        """Mean loss of the head's outputs on a batch, over its `targets`."""

    def targets(self, batch: Mapping[str, Any]) -> float:
        """What the loss of a batch is a mean over: its labels. In a step of several batches each weighs so much."""
        return len(batch["labels"])

    @abstractmethod
    def judge(self, outputs: Tensor, batch: Mapping[str, Any]) -> Judged:
        """What the metrics need of each example of an evaluated batch."""

    @abstractmethod
    def answers(self, outputs: Tensor, batch: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Each example's prediction in words, for people and files: `prediction`, and what the form adds."""

    def kept(self, values: Tensor, labels: Tensor) -> Tensor:  # noqa: ARG002
        """What `metrics` take of judged values, where a setting of the task decides on them."""
        return values

    def calibrated(self, values: Tensor, labels: Tensor) -> Self:  # noqa: ARG002
        """This task, calibrated: with the settings that suit these held-out examples best; most have none."""
        return self

    def scores(self, values: Tensor, labels: Tensor) -> dict[str, float]:
        """Every metric by name, as `metrics.score` has it."""
        found = self._arrays(values, labels)
        return {metric.__name__: score(metric, *found) for metric in self.metrics}

    def detailed(self, values: Tensor, labels: Tensor) -> dict[str, float]:
        """Every detail by name; nan where no example counts."""
        found = self._arrays(values, labels)
        return {metric.__name__: metric(*found) for metric in self.details}

    def _arrays(self, values: Tensor, labels: Tensor) -> tuple[Array, Array]:
        """What a metric takes: in double precision, as records keep it."""
        kept, true = (each.detach().cpu().double().numpy() for each in (self.kept(values, labels), labels))
        return kept, true


def task_score(scores: Mapping[str, float]) -> float:
    """A task's score: the mean of its metrics, as GLUE defines it."""
    return fmean(scores.values())

"""What a task is: its columns, its labels, its metrics, its splits. A task is one row of a table."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean

from torch import Tensor
from torch.nn import functional as F

from lm_lab.tasks.metrics import accuracy

Metric = Callable[[Tensor, Tensor], float]


@dataclass(frozen=True)
class Task:
    """A task on one text or a pair of texts, with classes or a graded score.

    Args:
        name: as in the hub's schema and on the command line.
        columns: one or two text columns.
        labels: class words in the order of their ids; empty for a graded score.
        label_range: lowest and highest graded score.
        metrics: functions of (predictions, labels); their mean is the task's score, as GLUE defines it.
        train: the split to train on; empty if there is none (AX).
        validation: the splits to report on; more than one are scored apart and averaged (MNLI).
        test: split -> name of GLUE's submission file.
    """

    name: str
    columns: tuple[str, ...]
    labels: tuple[str, ...] = ()
    label_range: tuple[float, float] = (0.0, 5.0)
    metrics: tuple[Metric, ...] = (accuracy,)
    train: str = "train"
    validation: tuple[str, ...] = ("validation",)
    test: tuple[tuple[str, str], ...] = ()

    @property
    def regression(self) -> bool:
        """True for a graded score."""
        return not self.labels

    @property
    def outputs(self) -> int:
        """Number of scores the head gives: one a class, or one."""
        return len(self.labels) or 1

    @property
    def paired(self) -> bool:
        """True for a pair of texts."""
        return len(self.columns) == 2

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy, or squared error on the graded score scaled to [-1/2, 1/2]; outputs (b, k), labels (b,)."""
        if self.regression:
            return F.mse_loss(outputs.squeeze(-1).float(), self._scaled(labels))
        return F.cross_entropy(outputs.float(), labels.long())

    def predictions(self, outputs: Tensor) -> Tensor:
        """Class ids, or graded scores inside the range; outputs (b, k) -> (b,)."""
        if not self.regression:
            return outputs.argmax(-1)
        low, high = self.label_range
        return ((outputs.squeeze(-1).float() + 0.5) * (high - low) + low).clamp(low, high)

    def scores(self, predictions: Tensor, labels: Tensor) -> dict[str, float]:
        """Every metric by name. An undefined correlation (constant predictions) counts as 0: it ranks nothing."""
        values = {metric.__name__: metric(predictions, labels) for metric in self.metrics}
        return {name: 0.0 if math.isnan(value) else value for name, value in values.items()}

    def word(self, prediction: float) -> str:
        """A prediction as GLUE writes it: the class word, or the score with three decimals."""
        return f"{prediction:.3f}" if self.regression else self.labels[int(prediction)]

    def _scaled(self, labels: Tensor) -> Tensor:
        low, high = self.label_range
        return (labels.float() - low) / (high - low) - 0.5


def task_score(scores: Mapping[str, float]) -> float:
    """A task's score: the mean of its metrics, as GLUE defines it."""
    return fmean(scores.values())

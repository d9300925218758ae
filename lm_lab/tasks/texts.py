"""One text or a pair of texts, and a class or a graded score for it: GLUE's form."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from lm_lab.tasks.metrics import accuracy
from lm_lab.tasks.task import Judged, Metric, Task


@dataclass(frozen=True)
class TextTask(Task):
    """A class or a graded score of one text or a pair.

    Args:
        columns: one or two text columns.
        labels: class words in the order of their ids; empty for a graded score.
        label_range: lowest and highest graded score.
    """

    columns: tuple[str, ...] = ("sentence",)
    labels: tuple[str, ...] = ()
    _: KW_ONLY
    label_range: tuple[float, float] = (0.0, 5.0)
    metrics: tuple[Metric, ...] = (accuracy,)

    @property
    def regression(self) -> bool:
        """True for a graded score."""
        return not self.labels

    @property
    def outputs(self) -> int:
        """One score a class, or one."""
        return len(self.labels) or 1

    @property
    def paired(self) -> bool:
        """True for a pair of texts."""
        return len(self.columns) == 2

    def loss(self, outputs: Tensor, batch: Mapping[str, Any]) -> Tensor:
        """Cross-entropy, or squared error on the graded score scaled to [-1/2, 1/2]; outputs (b, k), labels (b,)."""
        labels = batch["labels"]
        if self.regression:
            return F.mse_loss(outputs.squeeze(-1).float(), self._scaled(labels))
        return F.cross_entropy(outputs.float(), labels.long())

    def predictions(self, outputs: Tensor) -> Tensor:
        """Class ids, or graded scores inside the range; outputs (b, k) -> (b,)."""
        if not self.regression:
            return outputs.argmax(-1)
        low, high = self.label_range
        return ((outputs.squeeze(-1).float() + 0.5) * (high - low) + low).clamp(low, high)

    def judge(self, outputs: Tensor, batch: Mapping[str, Any]) -> Judged:
        """Predictions and labels, each (b,)."""
        return Judged(self.predictions(outputs), batch["labels"])

    def answers(self, outputs: Tensor, batch: Mapping[str, Any]) -> list[dict[str, Any]]:  # noqa: ARG002
        """`prediction` as GLUE writes it and, for classes, `probabilities` by word."""
        found = [{"prediction": self.word(value)} for value in self.predictions(outputs).tolist()]
        if self.regression:
            return found
        words = [dict(zip(self.labels, row, strict=True)) for row in outputs.float().softmax(-1).tolist()]
        return [row | {"probabilities": shares} for row, shares in zip(found, words, strict=True)]

    def word(self, prediction: float) -> str:
        """A prediction as GLUE writes it: the class word, or the score with three decimals."""
        return f"{prediction:.3f}" if self.regression else self.labels[int(prediction)]

    def _scaled(self, labels: Tensor) -> Tensor:
        low, high = self.label_range
        return (labels.float() - low) / (high - low) - 0.5

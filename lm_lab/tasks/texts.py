"""One text or a pair of texts, and a class or a graded score for it: GLUE's form."""

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lm_lab.errors import UsageError
from lm_lab.metrics import Metric, accuracy
from lm_lab.tasks.task import Judged, Task


@dataclass(frozen=True)
class TextTask(Task):
    """A class or a graded score of one text or a pair.

    Args:
        columns: one or two text columns.
        labels: class words in the order of their ids; empty for a graded score.
        label_range: lowest and highest graded score.
        class_weights: what the loss of each class counts, in their order; empty: all the same.
        marked: a text is read at the words that its data marks (`lm_lab.tokens.MARKED`), in place of the whole.

    Raises:
        UsageError: weights that are not one for each class, or not above 0.
    """

    columns: tuple[str, ...] = ("sentence",)
    labels: tuple[str, ...] = ()
    _: KW_ONLY
    label_range: tuple[float, float] = (0.0, 5.0)
    metrics: tuple[Metric, ...] = (accuracy,)
    class_weights: tuple[float, ...] = ()
    marked: bool = False

    def __post_init__(self) -> None:
        """Check the name and the weights."""
        super().__post_init__()
        fit = len(self.class_weights) == len(self.labels) and all(0 < w < math.inf for w in self.class_weights)
        if self.class_weights and not fit:
            raise UsageError(
                f"class_weights={list(self.class_weights)}: expected a number above 0 for each of the classes "
                f"{', '.join(self.labels) or '(a score has none)'}."
            )

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
        """Cross-entropy, or squared error on the graded score scaled to [-1/2, 1/2]; outputs (b, k), labels (b,).

        With class weights it is sum(w_y loss) / sum(w_y), as torch has it.
        """
        labels = batch["labels"]
        if self.regression:
            return F.mse_loss(outputs.squeeze(-1).float(), self._scaled(labels))
        weight = torch.tensor(self.class_weights, device=outputs.device) if self.class_weights else None
        return F.cross_entropy(outputs.float(), labels.long(), weight)

    def targets(self, batch: Mapping[str, Any]) -> float:
        """The sum of the labels' weights."""
        if not self.class_weights:
            return super().targets(batch)
        return torch.tensor(self.class_weights)[batch["labels"].long().cpu()].sum().item()

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

"""Several classes at once for a text or a pair, each yes or no (binary relevance; Tsoumakas and Katakis 2007).

    p(k | text) = sigmoid(w_k . h)          predicted where p > 1/2

Scores are scikit-learn's of label indicators, with zero_division=0.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lm_lab.errors import UsageError
from lm_lab.metrics import Metric, f1_micro
from lm_lab.tasks.task import Judged, Task


@dataclass(frozen=True)
class MultiLabelTask(Task):
    """Any number of classes for one text or a pair.

    A batch's `labels` (b, k) are 1 where a class holds, else 0.

    Args:
        columns: one or two text columns.
        labels: class words in the order of their ids.

    Raises:
        UsageError: fewer than two classes, or one twice.
    """

    columns: tuple[str, ...] = ("sentence",)
    labels: tuple[str, ...] = ()
    _: KW_ONLY
    metrics: tuple[Metric, ...] = (f1_micro,)

    def __post_init__(self) -> None:
        """Check the name and the classes."""
        super().__post_init__()
        if len(set(self.labels)) < max(2, len(self.labels)):
            raise UsageError(f"the classes of '{self.name}' are {self.labels}; expected two or more, once each.")

    @property
    def outputs(self) -> int:
        """One score a class."""
        return len(self.labels)

    @property
    def paired(self) -> bool:
        """True for a pair of texts."""
        return len(self.columns) == 2

    def loss(self, outputs: Tensor, batch: Mapping[str, Any]) -> Tensor:
        """Mean binary cross-entropy over texts and classes; outputs (b, k)."""
        return F.binary_cross_entropy_with_logits(outputs.float(), batch["labels"].float())

    def targets(self, batch: Mapping[str, Any]) -> float:
        """Texts times classes."""
        return batch["labels"].numel()

    def judge(self, outputs: Tensor, batch: Mapping[str, Any]) -> Judged:
        """Values (b, 2k) as `f1_micro` takes them; labels (b,): how many classes are true."""
        true = batch["labels"].to(outputs.device)
        values = torch.cat([(outputs > 0).to(true), true], 1)
        return Judged(values, true.sum(1))

    def answers(self, outputs: Tensor, batch: Mapping[str, Any]) -> list[dict[str, Any]]:  # noqa: ARG002
        """`prediction`, the classes that are predicted, and `probabilities` by word, each of its own."""
        shares = [dict(zip(self.labels, row, strict=True)) for row in outputs.float().sigmoid().tolist()]
        return [{"prediction": [k for k, p in row.items() if p > 0.5], "probabilities": row} for row in shares]

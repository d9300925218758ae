"""Multiple choice: a question with m options, of which one is right (Radford et al. 2018, section 3.3).

    p(k | context, question) = softmax_k(w . h(context, question, option_k))        k = 1..m

Each option is read in a sequence of its own, and one head scores them all; questions may have different numbers of
options.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lm_lab.metrics import Metric, accuracy
from lm_lab.tasks.task import Judged, Task


class OptionTask(Task):
    """Questions with options, each read with its question in a sequence of its own.

    A batch holds `counts` (b,), the options of each question, and `options`, their texts, a list a question. The head's
    outputs are (sum of counts, 1), question after question.
    """

    @property
    def outputs(self) -> int:
        """One score an option."""
        return 1

    @property
    def paired(self) -> bool:
        """True: the question and an option are two texts."""
        return True


@dataclass(frozen=True)
class ChoiceTask(OptionTask):
    """One of several options; `labels` (b,) of a batch are the position of the right one."""

    _: KW_ONLY
    metrics: tuple[Metric, ...] = (accuracy,)

    def loss(self, outputs: Tensor, batch: Mapping[str, Any]) -> Tensor:
        """Cross-entropy over each question's own options."""
        return F.cross_entropy(by_question(outputs, batch["counts"]), batch["labels"].long())

    def judge(self, outputs: Tensor, batch: Mapping[str, Any]) -> Judged:
        """The best option and the right one, each (b,)."""
        return Judged(by_question(outputs, batch["counts"]).argmax(-1), batch["labels"])

    def answers(self, outputs: Tensor, batch: Mapping[str, Any]) -> list[dict[str, Any]]:
        """`prediction`, the text of the best option; `option`, its position; `probabilities`, in the options' order."""
        shares = by_question(outputs, batch["counts"]).softmax(-1)
        rows = zip(shares.argmax(-1).tolist(), shares.tolist(), batch["options"], strict=True)
        return [
            {"prediction": options[best], "option": best, "probabilities": row[: len(options)]}
            for best, row, options in rows
        ]


def by_question(scores: Tensor, counts: Tensor) -> Tensor:
    """Scores of all options (sum of counts, 1) -> (b, m), m the most options; -inf where a question has fewer."""
    real = torch.arange(int(counts.max()), device=counts.device) < counts[:, None]
    padded = scores.new_full(real.shape, -torch.inf, dtype=torch.float32)
    padded[real] = scores.squeeze(-1).float()
    return padded


def right_ones(batch: Mapping[str, Any]) -> Tensor:
    """(b, m) bool: which options are right, by `right` (sum of counts,) of a batch."""
    return by_question(batch["right"][:, None], batch["counts"]) > 0

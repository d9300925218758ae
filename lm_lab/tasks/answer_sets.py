"""Questions of which any number of options are right, each judged by itself (MultiRC; Khashabi et al. 2018).

    p(option k is right | context, option k) = sigmoid(w . h)          predicted where p > 1/2

Each option is read in a sequence of its own, as in multiple choice. SuperGLUE's scores: F1 over all options (F1a), and
the share of questions whose options are all judged right.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lm_lab.metrics import Metric, option_f1, question_exact
from lm_lab.tasks.choices import OptionTask, by_question, right_ones
from lm_lab.tasks.task import Judged


@dataclass(frozen=True)
class AnswerSetTask(OptionTask):
    """Any number of a question's options.

    A batch also holds `right` (sum of counts,), 1 for an option that is right, and `keys`, what the data call the
    question and its options.
    """

    _: KW_ONLY
    metrics: tuple[Metric, ...] = (option_f1, question_exact)

    def loss(self, outputs: Tensor, batch: Mapping[str, Any]) -> Tensor:
        """Mean binary cross-entropy over the options; outputs (sum of counts, 1)."""
        return F.binary_cross_entropy_with_logits(outputs.squeeze(-1).float(), batch["right"])

    def targets(self, batch: Mapping[str, Any]) -> float:
        """The options."""
        return len(batch["right"])

    def judge(self, outputs: Tensor, batch: Mapping[str, Any]) -> Judged:
        """Of each question (b, 3): options that are predicted and right, that are predicted, whether all are judged
        right; labels (b,): options that are right."""
        said, true = by_question(outputs, batch["counts"]) > 0, right_ones(batch).to(outputs.device)
        counted = torch.stack([(said & true).sum(1), said.sum(1), (said == true).all(1)], 1)
        return Judged(counted.float(), true.sum(1).float())

    def answers(self, outputs: Tensor, batch: Mapping[str, Any]) -> list[dict[str, Any]]:
        """`prediction`, the options that are predicted; `probabilities`, in the options' order; `key`."""
        shares = outputs.squeeze(-1).float().sigmoid().split(batch["counts"].tolist())
        found = []
        for own, options, key in zip(shares, batch["options"], batch["keys"], strict=True):
            chosen = [option for option, share in zip(options, own.tolist(), strict=True) if share > 0.5]
            found.append({"prediction": chosen, "probabilities": own.tolist(), "key": key})
        return found

"""A gap in a query that one of the candidates fills, of which several may be right (ReCoRD; Zhang et al. 2018,
https://arxiv.org/abs/1810.12885).

    p(k | context, query) = softmax_k(w . h(context, query with candidate k))        loss: -log of the sum of right ones

An entity has several names in a text, and each counts as right. Scores are SQuAD's exact match and F1 of words of the
candidate that is chosen, with the gold answer that fits best.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from torch import Tensor

from lm_lab.metrics import Metric, answer_f1, exact_match
from lm_lab.tasks import answers as measures
from lm_lab.tasks.choices import OptionTask, by_question, right_ones
from lm_lab.tasks.task import Judged


@dataclass(frozen=True)
class ClozeTask(OptionTask):
    """One of a query's candidates.

    A query's candidates are its options. A batch also holds `candidates`, their names, and `golds`, the right ones, a
    list a query each; `right` (sum of counts,), 1 for a candidate that is right; `keys`, what the data call the query.
    """

    _: KW_ONLY
    metrics: tuple[Metric, ...] = (answer_f1, exact_match)

    def loss(self, outputs: Tensor, batch: Mapping[str, Any]) -> Tensor:
        """Mean over the queries of which a candidate is right; 0 without any."""
        shares = by_question(outputs, batch["counts"]).log_softmax(-1)
        right = right_ones(batch)
        answerable = right.any(-1)
        found = shares.masked_fill(~right, -torch.inf)[answerable].logsumexp(-1)
        return -found.sum() / max(1, len(found))

    def targets(self, batch: Mapping[str, Any]) -> float:
        """The queries of which a candidate is right."""
        return int(right_ones(batch).any(-1).sum())

    def judge(self, outputs: Tensor, batch: Mapping[str, Any]) -> Judged:
        """Exact match and F1 (b, 2); the label is 1."""
        said = zip(self._chosen(outputs, batch), batch["golds"], strict=True)
        values = [[f(text, golds, 1) for f in (measures.exact_match, measures.f1)] for text, golds in said]
        return Judged(torch.tensor(values, device=outputs.device), torch.ones(len(values), device=outputs.device))

    def answers(self, outputs: Tensor, batch: Mapping[str, Any]) -> list[dict[str, Any]]:
        """`prediction`, the best candidate; `probabilities`, by candidate; `key`."""
        shares = by_question(outputs, batch["counts"]).softmax(-1).tolist()
        rows = zip(self._chosen(outputs, batch), batch["candidates"], shares, batch["keys"], strict=True)
        return [
            {"prediction": best, "probabilities": dict(zip(names, own, strict=False)), "key": key}
            for best, names, own, key in rows
        ]

    def _chosen(self, outputs: Tensor, batch: Mapping[str, Any]) -> list[str]:
        best = by_question(outputs, batch["counts"]).argmax(-1).tolist()
        return [names[place] for names, place in zip(batch["candidates"], best, strict=True)]

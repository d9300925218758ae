"""Answers that are written and compared with texts: SuperGLUE's ReCoRD and WSC as T5 casts them (Raffel et al. 2020,
https://arxiv.org/abs/1910.10683, section 2.4 and appendix D).
"""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch

from lm_lab.metrics import Metric, accuracy, answer_f1, exact_match
from lm_lab.tasks import answers as measures
from lm_lab.tasks.sequences import SequenceTask
from lm_lab.tasks.task import Judged


@dataclass(frozen=True)
class WrittenAnswer(SequenceTask):
    """An answer, judged by exact match and F1 of words with the gold one that fits best; a batch has `golds`."""

    _: KW_ONLY
    metrics: tuple[Metric, ...] = (answer_f1, exact_match)

    def judge(self, outputs: Sequence[str], batch: Mapping[str, Any]) -> Judged:  # type: ignore[override]
        """Exact match and F1 (b, 2); the label is 1."""
        said = list(zip(outputs, batch["golds"], strict=True))
        values = [[f(text, golds, 1) for f in (measures.exact_match, measures.f1)] for text, golds in said]
        device = batch["ids"].device
        return Judged(torch.tensor(values, device=device), torch.ones(len(values), device=device))


@dataclass(frozen=True)
class WrittenNoun(SequenceTask):
    """The noun that a pronoun stands for: the candidate is right where one of the two texts has all words of the other.

    A batch's `golds` are the candidates, `labels` whether the pronoun stands for them. Only texts where it does can be
    trained on.
    """

    _: KW_ONLY
    metrics: tuple[Metric, ...] = (accuracy,)

    def judge(self, outputs: Sequence[str], batch: Mapping[str, Any]) -> Judged:  # type: ignore[override]
        """1 where the candidate is what was written (b,), and labels."""
        pairs = zip(outputs, batch["golds"], strict=True)
        found = [float(same_noun(text, candidate)) for text, (candidate,) in pairs]
        return Judged(torch.tensor(found, device=batch["ids"].device), batch["labels"])


def same_noun(said: str, candidate: str) -> bool:
    """Whether one has all words of the other, articles, case and punctuation left out; nothing is no noun."""
    one, other = (set(measures.normalised(text).split()) for text in (said, candidate))
    return bool(one and other) and (one <= other or other <= one)

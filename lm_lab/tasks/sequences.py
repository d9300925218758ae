"""A text in, a text out: summaries by ROUGE (Lin 2004), and GLUE's tasks as T5 casts them (Raffel et al. 2020,
https://arxiv.org/abs/1910.10683): the class is a word to be written, or the likeliest of the class words.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from lm_lab.metrics import Metric, rouge1, rouge2, rougeL
from lm_lab.tasks.rouge import rouge
from lm_lab.tasks.task import Judged, Reads, Task
from lm_lab.tasks.texts import TextTask

_GRID = 0.2  # T5 writes a graded score as the nearest multiple


@dataclass(frozen=True)
class SequenceTask(Task):
    """A text to be written.

    Args:
        beams: hypotheses of beam search; 1 is greedy.
        max_target: longest target in tokens.
        length_penalty: exponent of the length that a hypothesis' log-probability is divided by.
        candidates: the only texts that may be written: the likeliest is chosen and nothing is generated.
        smoothing: share of the probability that the loss spreads over all tokens (Szegedy et al. 2016).
    """

    reads: ClassVar[Reads] = "sequence"

    _: KW_ONLY
    metrics: tuple[Metric, ...] = (rouge1, rouge2, rougeL)
    beams: int = 1
    max_target: int = 64
    length_penalty: float = 1.0
    candidates: tuple[str, ...] = ()
    smoothing: float = 0.0

    @property
    def outputs(self) -> int:
        """None: a token's scores are the vocabulary's."""
        return 0

    def loss(self, outputs: Tensor, batch: Mapping[str, Any]) -> Tensor:
        """Mean cross-entropy of the target's tokens; outputs (n, V), one row a real token of the batch's targets."""
        target = batch["target"]
        labels = target["input_ids"][target["attention_mask"].bool()]
        return F.cross_entropy(outputs.float(), labels, label_smoothing=self.smoothing)

    def targets(self, batch: Mapping[str, Any]) -> float:
        """The real tokens of the targets."""
        return int(batch["target"]["attention_mask"].sum())

    def judge(self, outputs: Sequence[str], batch: Mapping[str, Any]) -> Judged:  # type: ignore[override]
        """ROUGE of each text that was written (b, 3); the label is 1."""
        pairs = zip(outputs, batch["references"], strict=True)
        device = batch["ids"].device  # counts are gathered where the inputs are
        values = torch.tensor([rouge(written, reference) for written, reference in pairs], device=device)
        return Judged(values, torch.ones(len(values), device=device))

    def answers(self, outputs: Sequence[str], batch: Mapping[str, Any]) -> list[dict[str, Any]]:  # type: ignore[override]  # noqa: ARG002
        """The text that was written, as `prediction`."""
        return [{"prediction": text} for text in outputs]


@dataclass(frozen=True)
class TextToText(SequenceTask):
    """A task on texts, with its label as the text to be written.

    Args:
        labels: class words; empty for a graded score.
        label_range: lowest and highest graded score.
    """

    labels: tuple[str, ...] = ()
    _: KW_ONLY
    label_range: tuple[float, float] = (0.0, 5.0)

    @classmethod
    def of(cls, task: TextTask, scored: bool, **settings: Any) -> "TextToText":
        """The text-to-text form of a GLUE task; `scored` chooses among the class words instead of writing freely."""
        shared = {name: getattr(task, name) for name in ("name", "labels", "metrics", "train", "validation", "test")}
        candidates = _words(task) if scored else ()
        return cls(**shared, label_range=task.label_range, candidates=candidates, **settings)

    def judge(self, outputs: Sequence[str], batch: Mapping[str, Any]) -> Judged:  # type: ignore[override]
        """Class ids (b,), -1 for a text that is no class word; or graded scores, the lowest for what is no number."""
        found = torch.tensor([self.value(text) for text in outputs], device=batch["ids"].device)
        return Judged(found, batch["labels"])

    def value(self, text: str) -> float:
        """The class id or score that a text stands for."""
        if self.labels:
            return float(self.labels.index(text.strip())) if text.strip() in self.labels else -1.0
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        low, high = self.label_range
        return min(max(number, low), high) if math.isfinite(number) else low


def written(task: TextTask, label: float) -> str:
    """A label as the text to be written: the class word, or the score rounded to 0.2 as T5 does."""
    return task.labels[int(label)] if task.labels else f"{round(label / _GRID) * _GRID:.1f}"


def cast(task: TextTask, texts: Sequence[str]) -> str:
    """One or two texts as T5 casts them: `rte sentence1: ... sentence2: ...`."""
    return " ".join([task.name, *(f"{column}: {text}" for column, text in zip(task.columns, texts, strict=True))])


def _words(task: TextTask) -> tuple[str, ...]:
    if task.labels:
        return task.labels
    low, high = task.label_range
    steps = round((high - low) / _GRID)
    return tuple(f"{low + step * _GRID:.1f}" for step in range(steps + 1))

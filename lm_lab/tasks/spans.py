"""Extractive question answering: the answer is a span of the context (Devlin et al. 2019, section 4.2 and 4.3).

    P(start = i) = softmax_i(S . h_i)      P(end = j) = softmax_j(E . h_j)
    answer = argmax S . h_i + E . h_j over i <= j < i + max_answer, both in the context

SQuAD 2.0 has questions without an answer, trained to point at the first token. No answer is predicted where
S . h_0 + E . h_0 > best span + threshold; the threshold is calibrated on held-out examples. A context longer than a
window is read in several that overlap; the best span of all windows counts, and the smallest score of no answer.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from lm_lab.metrics import Metric, answer_f1, exact_match, has_answer_exact, has_answer_f1, no_answer_accuracy
from lm_lab.tasks import answers
from lm_lab.tasks.answers import Version
from lm_lab.tasks.task import Judged, Reads, Task

IMPOSSIBLE = -1e30  # a score outside of the context


class Span(NamedTuple):
    """A candidate: characters of the context, and its score."""

    start: int
    stop: int
    score: float


@dataclass(frozen=True)
class SpanTask(Task):
    """SQuAD's form.

    Args:
        version: 1: every question has an answer; 2: some have none.
        max_answer: longest answer in tokens.
        n_best: candidates that are kept of a question.
        threshold: how much better "no answer" must score than the best span to be predicted.
    """

    reads: ClassVar[Reads] = "tokens"

    _: KW_ONLY
    version: Version = 1
    metrics: tuple[Metric, ...] = (answer_f1,)
    max_answer: int = 30
    n_best: int = 20
    threshold: float = 0.0

    @property
    def details(self) -> tuple[Metric, ...]:
        """Exact match and, for version 2, both kinds of questions apart."""
        apart = (has_answer_exact, has_answer_f1, no_answer_accuracy) if self.version == 2 else ()
        return (exact_match, *apart)

    @property
    def outputs(self) -> int:
        """A start and an end score a token."""
        return 2

    def loss(self, outputs: Tensor, batch: Mapping[str, Any]) -> Tensor:
        """Mean cross-entropy of start and end over a window's tokens; outputs (w, t, 2), labels (w, 2)."""
        padding = batch["texts"][0]["attention_mask"] == 0
        scores = outputs.float().masked_fill(padding.unsqueeze(-1), torch.finfo(torch.float32).min)
        return F.cross_entropy(scores, batch["labels"])

    def judge(self, outputs: Tensor, batch: Mapping[str, Any]) -> Judged:
        """Exact match and F1 of each question's best span, and by how much no answer is better: (b, 3).

        The label is 1 for a question that has an answer, else 0.
        """
        found = zip(batch["rows"], self.candidates(outputs, batch), strict=True)
        rows = [[*self._measures(row, spans[0]), null - spans[0].score] for row, (spans, null) in found]
        known = [float(bool(row["answers"])) for row in batch["rows"]]
        device = outputs.device  # counts are gathered where the outputs are
        return Judged(torch.tensor(rows, device=device), torch.tensor(known, device=device))

    def answers(self, outputs: Tensor, batch: Mapping[str, Any]) -> list[dict[str, Any]]:
        """`prediction`, `key` (the question's own id), `null_score`, and `n_best` with BERT's probabilities."""
        found = zip(batch["rows"], self.candidates(outputs, batch), strict=True)
        return [self._answer(row, spans, null) for row, (spans, null) in found]

    def candidates(self, outputs: Tensor, batch: Mapping[str, Any]) -> Iterator[tuple[list[Span], float]]:
        """The best spans of each question over all its windows, best first, and the smallest score of no answer.

        Reads from the batch: windows' `question` (w,), `offsets` (w, t, 2) in characters, `inside` (w, t), `null` (w,).
        """
        outputs = outputs.float()
        scores, starts, stops = best_spans(outputs, batch["inside"], self.max_answer, self.n_best)
        window = torch.arange(len(outputs), device=outputs.device).unsqueeze(1)
        nulls = outputs[window.squeeze(1), batch["null"]].sum(-1).tolist()
        characters = torch.stack([batch["offsets"][window, starts, 0], batch["offsets"][window, stops, 1]], -1).tolist()
        ranked, windows = scores.tolist(), [list[int]() for _ in batch["ids"]]
        for w, asked in enumerate(batch["question"].tolist()):
            windows[asked].append(w)
        for mine in windows:
            pairs = (pair for w in mine for pair in zip(characters[w], ranked[w], strict=True))
            found = (Span(start, stop, score) for (start, stop), score in pairs if score > IMPOSSIBLE / 2)
            # a context of nothing but marks that are no token to the tokenizer has no span
            yield _distinct(found, self.n_best) or [Span(0, 0, IMPOSSIBLE)], min(nulls[w] for w in mine)

    def kept(self, values: Tensor, labels: Tensor) -> Tensor:
        """Exact match and F1 (n, 2) of what is answered: nothing, where no answer is better by the threshold."""
        if self.version == 1 or values.shape[1] == 2:
            return values[:, :2]
        silent = (values[:, 2] > self.threshold).unsqueeze(1)
        return torch.where(silent, (1 - labels).unsqueeze(1).to(values.dtype), values[:, :2])

    def calibrated(self, values: Tensor, labels: Tensor) -> Self:
        """The task with the threshold that gives the best mean F1 on these examples."""
        if self.version == 1:
            return self
        order = values[:, 2].argsort()
        gaps, f1, silent = values[order, 2], values[order, 1], (1 - labels)[order].to(values.dtype)
        # with the threshold at gap i, the examples up to i are answered and those above it are not
        gained = torch.cat([torch.zeros(1, dtype=f1.dtype, device=f1.device), (f1 - silent).cumsum(0)])
        best = int(gained.argmax())
        return replace(self, threshold=float(gaps[best - 1]) if best else float(gaps[0]) - 1.0)

    def _measures(self, row: Mapping[str, Any], span: Span) -> tuple[float, float]:
        text, golds = row["context"][span.start : span.stop], row["answers"]
        return answers.exact_match(text, golds, self.version), answers.f1(text, golds, self.version)

    def _answer(self, row: Mapping[str, Any], spans: Sequence[Span], null: float) -> dict[str, Any]:
        listed = [(row["context"][span.start : span.stop], span.score) for span in spans]
        silent = self.version == 2 and null - spans[0].score > self.threshold
        if self.version == 2:
            listed.append(("", null))
        shares = torch.tensor([score for _, score in listed]).softmax(0).tolist()
        ranked = sorted(zip(listed, shares, strict=True), key=lambda item: -item[1])
        n_best = [{"text": text, "probability": share, "score": score} for (text, score), share in ranked]
        return {
            "prediction": "" if silent else listed[0][0],
            "key": row["key"],
            "null_score": null - spans[0].score,
            "n_best": n_best,
        }


def best_spans(outputs: Tensor, inside: Tensor, max_answer: int, n_best: int) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, starts and ends (w, n) of the best spans of each window, best first.

    Args:
        outputs: (w, t, 2) start and end scores.
        inside: (w, t) True for tokens of the context.
        max_answer: longest span in tokens.
        n_best: how many spans; fewer where a window has no more.
    """
    start, end = (outputs[..., i].masked_fill(~inside, IMPOSSIBLE) for i in (0, 1))
    longest = min(max_answer, outputs.shape[1])
    shifted = F.pad(end, (0, longest - 1), value=IMPOSSIBLE).unfold(
        1, longest, 1
    )  # (w, t, longest): ends i, i + 1, ...
    sums = (start.unsqueeze(-1) + shifted).flatten(1)
    scores, where = sums.topk(min(n_best, sums.shape[1]))
    starts = where // longest
    return scores, starts, (starts + where % longest).clamp(max=outputs.shape[1] - 1)


def _distinct(spans: Iterator[Span], n_best: int) -> list[Span]:
    """The best spans, each once: windows that overlap find the same one."""
    kept: dict[tuple[int, int], Span] = {}
    for span in sorted(spans, key=lambda span: -span.score):
        kept.setdefault((span.start, span.stop), span)
    return list(kept.values())[:n_best]

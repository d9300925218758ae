"""Whether a model of `transformers` scores texts as ours does: on texts of the tokenizer's own words."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lm_lab.heads.generation import GenerationHead
from lm_lab.models import AdaptedModel
from lm_lab.tasks.choices import ChoiceTask
from lm_lab.tasks.spans import SpanTask

TOLERANCE = 1e-4  # of sums in another order, on scores of order 1
_WORDS = (3, 12, 1, 7)  # of the texts; of several lengths, so that padding is seen
Texts = list[tuple[str, ...]]


@dataclass(frozen=True)
class Agreement:
    """What our model gave, before anything of it was merged.

    Attributes:
        texts: n examples of one or two texts; of a text to be written, the source and the target.
        tokenizer: with which another model reads them.
        expected: scores (n, k), or of the real tokens (m, k).
        form: "text", "tokens", "choices" or "sequence".
        end: what ends a text that is written.
    """

    texts: Texts
    tokenizer: Any
    expected: Tensor
    form: str
    end: int = 0

    def close(self, gap: float) -> bool:
        """Whether a difference is one of rounding."""
        return gap <= TOLERANCE * max(1.0, self.expected.abs().max().item())

    @torch.no_grad()
    def gap(self, theirs: Any) -> float:
        """The largest difference of a score of a model of `transformers`; infinity where it does not read our texts."""
        try:
            found = self._scores(theirs)
        except (AssertionError, IndexError, ValueError):  # a Longformer counts separators, a T5 end tokens
            return float("inf")
        if found.shape != self.expected.shape:
            return float("inf")
        gap: float = (found - self.expected).abs().nan_to_num(float("inf")).max().item()
        return gap

    def _scores(self, theirs: Any) -> Tensor:
        if self.form == "sequence":
            return self._written(theirs)
        tokens = self.tokenizer(*map(list, zip(*self.texts, strict=True)), padding=True, return_tensors="pt")
        if self.form == "choices":
            return theirs(**{name: value[None] for name, value in tokens.items()}).logits.reshape(-1, 1)
        found = theirs(**tokens)
        scores = torch.stack([found.start_logits, found.end_logits], -1) if "start_logits" in found else found.logits
        return scores[tokens["attention_mask"].bool()] if self.form == "tokens" else scores

    def _written(self, theirs: Any) -> Tensor:
        """Scores of the targets' tokens, one text at a time."""
        found = []
        for source, target in self.texts:
            read = self.tokenizer(source, return_tensors="pt")
            ids = torch.tensor([[*self.tokenizer(target, add_special_tokens=False)["input_ids"], self.end]])
            if theirs.config.is_encoder_decoder:
                found.append(theirs(**read, labels=ids).logits[0])
            else:
                whole = torch.cat([read["input_ids"], ids[:, :-1]], 1)
                found.append(theirs(input_ids=whole).logits[0, read["input_ids"].shape[1] - 1 :])
        return torch.cat(found)


@torch.no_grad()
def agreement(model: AdaptedModel, tokenizer: Any, factor: float, offset: float) -> Agreement:
    """What `model` gives now, times `factor`, plus `offset`; `tokenizer` is the other model's."""
    own, head = model.encoding.tokenizer, model.head
    two = model.task.paired or isinstance(head, GenerationHead) or isinstance(model.task, SpanTask)
    texts = _texts(own, 2 if two else 1)
    if isinstance(head, GenerationHead):
        scores = torch.cat([model(_pair(own, text, head.end)) for text in texts])
        return Agreement(texts, tokenizer, scores, "sequence", head.end)
    tokens = own(*map(list, zip(*texts, strict=True)), padding=True, padding_side="right", return_tensors="pt")
    scores = model({"texts": [dict(tokens)]}).float() * factor + offset
    if model.task.reads == "tokens":
        return Agreement(texts, tokenizer, scores[tokens["attention_mask"].bool()], "tokens")
    return Agreement(texts, tokenizer, scores, "choices" if isinstance(model.task, ChoiceTask) else "text")


def _texts(tokenizer: Any, columns: int) -> Texts:
    """Words of the vocabulary, in no order."""
    generator, special = torch.Generator().manual_seed(0), set(tokenizer.all_special_ids)
    ids = [i for i in torch.randperm(len(tokenizer), generator=generator)[:500].tolist() if i not in special]
    words = [word for i in ids if (word := tokenizer.decode([i]).strip())] or ["a"]
    picked = lambda n, at: " ".join(words[(at + 7 * i) % len(words)] for i in range(n))  # noqa: E731
    return [tuple(picked(n + column, 31 * n + column) for column in range(columns)) for n in _WORDS]


def _pair(tokenizer: Any, text: tuple[str, ...], end: int) -> dict[str, Any]:
    """A batch of one text to be written."""
    source, target = text
    read = tokenizer(source, return_tensors="pt")
    ids = torch.tensor([[*tokenizer(target, add_special_tokens=False)["input_ids"], end]])
    return {
        "source": {name: read[name] for name in ("input_ids", "attention_mask")},
        "target": {"input_ids": ids, "attention_mask": torch.ones_like(ids)},
    }

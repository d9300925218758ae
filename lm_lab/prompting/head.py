"""The head of a prompted model: label words in place of trained weights."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.data.encoding.encoding import Encoding
from lm_lab.data.reading.text_rows import TextRows
from lm_lab.errors import UsageError
from lm_lab.heads import Head
from lm_lab.prompting.encoded import EncodedPrompt, encoded
from lm_lab.prompting.prompts import Prompt
from lm_lab.scoring.output import likelihood
from lm_lab.tokens import MARKED

_FREE = ("N/A", "-")  # texts without content; an empty one is none to many tokenizers


class PromptedHead(Head):
    """Scores of a class: the log-likelihood of its word in the prompt.

    Args:
        backbone: a language model with its output layer; not kept as a child.
        prompt: what is asked.
        shots: how many examples are shown before.
        calibrated: take off the mean score of texts without content.
        seed: draws the examples.

    Raises:
        UsageError: no output layer, or a prompt that its tokenizer cannot write.
    """

    layers = ()
    mix = None
    fixed_features = False

    def __init__(self, backbone: Backbone, prompt: Prompt, shots: int, calibrated: bool, seed: int) -> None:
        super().__init__()
        self.model, self.prompt, self.shots, self.calibrated, self.seed = (
            (likelihood(backbone),), prompt, shots, calibrated, seed,
        )  # fmt: skip
        self.encoded: EncodedPrompt = encoded(self.model[0], prompt, [])
        self.prior: Tensor | None = None

    def encoding(self, encoding: Encoding) -> Encoding:
        """Texts stand in the prompt, a pair in one sequence."""
        return replace(encoding, tokenizer=self.encoded.tokenizer, pairs="cross_encoder")

    def given(self, examples: Callable[[], Any]) -> None:
        """Draw the examples to be shown, of every class as many, or nearly."""
        if self.shots:
            self.encoded, self.prior = encoded(self.model[0], self.prompt, self._drawn(examples())), None

    def features(self, backbone: Backbone, batch: dict[str, Any]) -> Tensor:
        """The scores: nothing is trained behind them."""
        return self.scores(backbone, batch)

    @torch.no_grad()
    def scores(self, backbone: Backbone, batch: dict[str, Any]) -> Tensor:
        """(b, classes), in fp32."""
        text = batch["texts"][0]
        real, marked = text["attention_mask"].bool(), text.get(MARKED.name, torch.zeros_like(text["input_ids"])).bool()
        rows = [
            self.encoded.about(ids[own].tolist(), marks[own].tolist())
            for ids, own, marks in zip(text["input_ids"], real, marked, strict=True)
        ]
        with torch.autocast(backbone.device.type, enabled=False):
            found = self._scores(rows)
            if self.calibrated:
                found = found.log_softmax(-1) - self._prior()
        return found.to(backbone.device)

    def _scores(self, rows: list[list[int]]) -> Tensor:
        """One pass a text where every word is a token, else one a word."""
        words = self.encoded.words
        if all(len(word) == 1 for word in words):
            logs = self.model[0].distributions([self.encoded.asked(ids, 0) for ids in rows])
            return torch.cat(logs).index_select(1, torch.tensor([word[0] for word in words], device=logs[0].device))
        columns = []
        for answer in range(len(words)):
            found = self.model[0].together([self.encoded.asked(ids, answer) for ids in rows])
            columns.append(torch.stack([each.logs.sum() for each in found]))
        return torch.stack(columns, dim=1)

    def _prior(self) -> Tensor:
        """The classes' log-probabilities of a text without content (Zhao et al. 2021)."""
        if self.prior is None:
            texts = [[free] * (len(self.prompt.names) - 1) for free in _FREE]
            rows = [self.encoded.tokenizer(*pair, verbose=False)["input_ids"] for pair in texts]
            self.prior = self._scores(rows).softmax(-1).mean(0, keepdim=True).log()
        return self.prior

    def _drawn(self, rows: TextRows) -> list[str]:
        """Turn by turn of each class, in random order."""
        draw = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(len(rows), generator=draw).tolist()
        classes = [[row for row in order if rows.labels[row] == answer] for answer in range(len(self.prompt.words))]
        turns = [own[turn] for turn in range(self.shots) for own in classes if turn < len(own)][: self.shots]
        if len(turns) < self.shots:
            raise UsageError(f"shots={self.shots}: {rows.origin} has {len(turns)} examples to show.")
        mixed = [turns[place] for place in torch.randperm(self.shots, generator=draw).tolist()]
        return [self._shown(rows, row) for row in mixed]

    def _shown(self, rows: TextRows, row: int) -> str:
        """An example with its answer."""
        texts = tuple(column[row] for column in rows.texts)
        marks = rows.beside[MARKED.name][0][row] if MARKED.name in rows.beside else []
        word = next((word for word, mark in zip(texts[0].split(), marks, strict=False) if mark), "")
        return self.prompt.filled(texts, int(rows.labels[row]), word)

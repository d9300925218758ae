"""What is hidden together: tokens, words, n-grams, spans. Each is a module that chooses units of a batch.

    TokenMasking      a token                           Devlin et al. 2019, https://arxiv.org/abs/1810.04805
    WholeWordMasking  all pieces of a word              the same authors' code of May 2019
    NGramMasking      n <= 3 words, p(n) ~ 1/n          Lan et al. 2020 (ALBERT), https://arxiv.org/abs/1909.11942
    SpanMasking       l <= 10 words, p(l) ~ 0.8^(l-1)   Joshi et al. 2020 (SpanBERT), https://arxiv.org/abs/1907.10529

All keep to the same budget of tokens; `units.py` says how a unit that would exceed it is treated. 80/10/10 is decided
for each token, by SpanMasking once for a span. SpanBERT cuts its last span inside a word where the budget ends; here
it ends with a word.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from lm_lab.errors import UsageError
from lm_lab.objectives.masked.noise import choose, number
from lm_lab.objectives.masked.units import choose_units, continuations

_LONGEST = 65_536  # words of a unit: no text has more


class Masking(nn.Module, ABC):
    """Chooses the units of a batch that are hidden.

    Attributes:
        per_unit: whether mask, random token or neither is decided once for all tokens of a unit.
    """

    per_unit = False

    def prepare(self, tokenizer: Any) -> None:
        """Take from the tokenizer what choosing needs; called once, before the first batch."""

    @abstractmethod
    def forward(
        self,
        input_ids: Tensor,
        eligible: Tensor,
        probability: float,
        generator: torch.Generator | None = None,
        given: Tensor | None = None,
    ) -> Tensor:
        """Return the unit of each token, (b, t), -1 where it is not chosen.

        Args:
            input_ids: (b, t).
            eligible: (b, t) bool, False for special tokens and padding.
            probability: share of the eligible tokens to choose.
            generator: on the device of `input_ids`; None uses torch's own.
            given: (b, t) units that came with the text, 0 outside them; for those that use them.
        """


class TokenMasking(Masking):
    """Single tokens, all equally likely."""

    def forward(
        self,
        input_ids: Tensor,  # noqa: ARG002
        eligible: Tensor,
        probability: float,
        generator: torch.Generator | None = None,
        given: Tensor | None = None,  # noqa: ARG002
    ) -> Tensor:
        """Return a unit of its own for each chosen token, (b, t)."""
        return number(choose(eligible, probability, generator))


class WordMasking(Masking):
    """Runs of 1 to N whole words, their number drawn by `lengths`, (N,) weights."""

    lengths: Tensor
    continues: Tensor

    def __init__(self, lengths: Tensor) -> None:
        super().__init__()
        self.register_buffer("lengths", lengths / lengths.sum(), persistent=False)

    def prepare(self, tokenizer: Any) -> None:
        """Derive which tokens continue a word."""
        self.register_buffer("continues", continuations(tokenizer), persistent=False)

    def forward(
        self,
        input_ids: Tensor,
        eligible: Tensor,
        probability: float,
        generator: torch.Generator | None = None,
        given: Tensor | None = None,  # noqa: ARG002
    ) -> Tensor:
        """Return the units of words, (b, t)."""
        return choose_units(eligible, self.continues[input_ids], self.lengths, probability, generator)


class WholeWordMasking(WordMasking):
    """Single words, with all of their pieces."""

    def __init__(self) -> None:
        super().__init__(torch.ones(1))


class NGramMasking(WordMasking):
    """ALBERT's n-grams, n with a probability proportional to 1/n.

    Args:
        longest: most words in an n-gram.
    """

    def __init__(self, longest: int = 3) -> None:
        super().__init__(1 / _up_to(longest))


class SpanMasking(WordMasking):
    """SpanBERT's spans: a geometric number of words, clipped at `longest` by renormalising.

    Args:
        p: of the geometric distribution, above 0 and below 1; a greater one makes shorter spans.
        longest: most words in a span.
    """

    per_unit = True

    def __init__(self, p: float = 0.2, longest: int = 10) -> None:
        if not 0 < p < 1:
            raise UsageError(f"p={p}: the parameter of the geometric span length must lie between 0 and 1, as 0.2.")
        super().__init__(p * (1 - p) ** (_up_to(longest) - 1))


def _up_to(longest: int) -> Tensor:
    if not 1 <= longest <= _LONGEST:
        raise UsageError(f"longest={longest}: a unit has at least one word; give 1 or more, {_LONGEST:,} at most.")
    return torch.arange(1.0, longest + 1)

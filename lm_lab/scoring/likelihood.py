"""Log-likelihoods of texts, in nats, in fp32.

    causal    log p(x) = sum_t log p(x_t | x_<t)           behind the token that begins a text
    masked    pseudo-log-likelihood = sum_t log p(x_t | x without x_t)     each token hidden in a pass of its own
    both ways sum_t log p(x_t | x_<t) + log p(x_t | x_>t)                  ELMo's two directions
    gaps      the same; a sentinel stands for the token, and the decoder writes what was there     (T5)
    restored  the same; a mask stands for the token, and the decoder writes the text               (BART)

The others are no probability of the text, but rank texts as one does (Salazar et al. 2020, Masked Language Model
Scoring, https://arxiv.org/abs/1910.14659). Special tokens are read and not scored.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.backbones.language import LanguageOutput
from lm_lab.data.encoding.template import Template
from lm_lab.errors import UsageError

ROWS = 64  # of a batch
Scores = Callable[[Tensor, Tensor, Tensor], Tensor]


class Asked(NamedTuple):
    """A text, special tokens included, and the places of the tokens that are scored."""

    ids: list[int]
    places: list[int]


class Found(NamedTuple):
    """Of each place (c,): the log-probability of its token, and whether no other has a higher one."""

    logs: Tensor
    likeliest: Tensor


class Likelihood(ABC):
    """Log-probabilities of tokens under one model.

    Args:
        backbone: gives tokens and states; in eval mode from here on.

    Attributes:
        before, after: ids of the special tokens around a text.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.backbone, self.tokenizer = backbone.eval(), backbone.tokenizer
        template = Template.of(self.tokenizer)
        self.before, self.after = list(template.start), list(template.end)

    @abstractmethod
    def distributions(self, asked: Sequence[Asked]) -> list[Tensor]:
        """Log-probabilities (c, V) at the c places of each text, all of them hidden at once where a model hides."""

    def together(self, asked: Sequence[Asked]) -> list[Found]:
        """Score the tokens at the places of each text, as `distributions` reads it."""
        return [_picked(logs, each) for logs, each in zip(self.distributions(asked), asked, strict=True)]

    def texts(self, given: Sequence[str]) -> list[float]:
        """The log-likelihood of each text. Raises `UsageError` for one that is too long or has no token."""
        asked = [self._asked(text) for text in given]
        order = sorted(range(len(asked)), key=lambda place: len(asked[place].ids))
        values = [0.0] * len(asked)
        for begin in range(0, len(order), ROWS):
            some = order[begin : begin + ROWS]
            for place, found in zip(some, self.apart([asked[place] for place in some]), strict=True):
                values[place] = float(found.logs.double().sum())
        return values

    def apart(self, asked: Sequence[Asked]) -> list[Found]:
        """Score the places of each text, each given all other tokens: a pass a place."""
        found: list[Found] = []
        single = [Asked(each.ids, [place]) for each in asked for place in each.places]
        for begin in range(0, len(single), ROWS):
            found += self.together(single[begin : begin + ROWS])
        rest = iter(found)
        own = [[next(rest) for _ in each.places] for each in asked]
        return [Found(*(torch.cat(parts) for parts in zip(*each, strict=True))) for each in own]

    def _asked(self, text: str) -> Asked:
        own = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        if not own:
            raise UsageError(f"the text {text!r:.80} has no token to be scored.")
        ids = [*self.before, *own, *self.after]
        if len(ids) > self.backbone.max_length:
            read = self.backbone.max_length
            raise UsageError(f"the text {text!r:.60} has {len(ids)} tokens; {self.backbone.kind} reads {read}.")
        return Asked(ids, list(range(len(self.before), len(self.before) + len(own))))

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        ids = [torch.tensor(row) for row in rows]
        padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=self.tokenizer.pad_token_id or 0)
        real = torch.arange(padded.shape[1]) < torch.tensor([len(row) for row in rows]).unsqueeze(1)
        return padded.to(self.backbone.device), real.long().to(self.backbone.device)


class CausalLikelihood(Likelihood):
    """Of a model that predicts each next token.

    Args:
        backbone: whose states have seen the tokens on the left.
        output: from states (n, d) to scores (n, V); None takes the backbone's own.
        beside: what the backbone is given of ids (b, t) beside them and their mask.

    Raises:
        UsageError: no token begins a text, so that its first could not be scored; or no output layer.
    """

    def __init__(
        self,
        backbone: Backbone,
        output: Callable[[Tensor], Tensor] | None = None,
        beside: Callable[[Tensor], dict[str, Tensor]] = lambda _: {},
    ) -> None:
        super().__init__(backbone)
        self.output, self.beside, self.after = output or LanguageOutput(backbone), beside, []
        self.before = self.before or [self._start()]

    @torch.no_grad()
    def distributions(self, asked: Sequence[Asked]) -> list[Tensor]:
        """Given the tokens on the left alone."""
        ids, real = self._padded([each.ids for each in asked])
        states = self.backbone.last(input_ids=ids, attention_mask=real, **self.beside(ids))
        places = [torch.tensor(each.places, device=ids.device) for each in asked]
        return [self.output(states[row, own - 1]).float().log_softmax(-1) for row, own in enumerate(places)]

    def apart(self, asked: Sequence[Asked]) -> list[Found]:
        """One pass: no place sees those behind it."""
        return self.together(asked)

    def _start(self) -> int:
        for name in ("bos_token_id", "eos_token_id"):
            if (found := getattr(self.tokenizer, name, None)) is not None:
                return int(found)
        raise UsageError(
            f"the tokenizer of {self.backbone.kind} has no token that begins a text, nor one that ends it."
        )


class BothWaysLikelihood(Likelihood):
    """Of a model of either direction (ELMo): the sum of both log-probabilities of each token.

    Args:
        backbone: whose states have a left-to-right and a right-to-left half.
        logs: from states (n, d) of one direction to log-probabilities (n, V) of what it reads next.
        target: from ids to those that are predicted.
    """

    def __init__(
        self, backbone: Backbone, logs: Callable[[Tensor], Tensor], target: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__(backbone)
        if not (self.before and self.after):
            raise UsageError(f"the tokenizer of {backbone.kind} has no tokens that begin and end a text.")
        self.logs, self.target = logs, target

    def distributions(self, asked: Sequence[Asked]) -> list[Tensor]:  # noqa: ARG002
        """Raise `UsageError`: two distributions give no one answer."""
        raise UsageError(
            f"{self.backbone.kind} has a distribution of each direction, and their sum is none: it cannot say which "
            "word comes; minimal pairs (--task blimp) can be compared."
        )

    @torch.no_grad()
    def apart(self, asked: Sequence[Asked]) -> list[Found]:
        """log p(x_t | x_<t) + log p(x_t | x_>t)."""
        ids, real = self._padded([each.ids for each in asked])
        ahead, back = self.backbone.last(input_ids=ids, attention_mask=real).chunk(2, dim=-1)
        found = []
        for row, each in enumerate(asked):
            places = torch.tensor(each.places, device=ids.device)
            both = self.logs(ahead[row, places - 1]) + self.logs(back[row, places + 1])
            words = self.target(ids[row, places])
            found.append(Found(both.gather(1, words.unsqueeze(1)).squeeze(1).cpu(), (both.argmax(-1) == words).cpu()))
        return found


class MaskedLikelihood(Likelihood):
    """Of a model that predicts hidden tokens from both sides.

    Args:
        backbone: whose tokenizer has a mask token.
        scores: from ids and masks (b, t) and places (b,) to scores (b, V) of the token at each.

    Raises:
        UsageError: there is no mask token.
    """

    def __init__(self, backbone: Backbone, scores: Scores) -> None:
        super().__init__(backbone)
        if self.tokenizer.mask_token_id is None:
            raise UsageError(f"the tokenizer of {backbone.kind} has no mask token, so no token can be hidden.")
        self.scores = scores

    @torch.no_grad()
    def distributions(self, asked: Sequence[Asked]) -> list[Tensor]:
        """Given the tokens that are not asked for."""
        rows = [(each, place) for each in asked for place in each.places]
        parts = []
        for begin in range(0, len(rows), ROWS):
            some = rows[begin : begin + ROWS]
            ids, real = self._padded([each.ids for each, _ in some])
            for row, (each, _) in enumerate(some):
                ids[row, each.places] = self.tokenizer.mask_token_id
            places = torch.tensor([place for _, place in some], device=ids.device)
            parts.append(self.scores(ids, real, places).float().log_softmax(-1))
        return list(torch.cat(parts).split([len(each.places) for each in asked]))


def _picked(logs: Tensor, asked: Asked) -> Found:
    """What log-probabilities (c, V) say of the tokens that stand at the places."""
    targets = torch.tensor([asked.ids[place] for place in asked.places], device=logs.device)
    return Found(logs.gather(1, targets.unsqueeze(1)).squeeze(1).cpu(), (logs.argmax(-1) == targets).cpu())

"""A prompt in the tokens of a model: a template of its tokenizer, so that a text that is too long is cut, not the
prompt.

    start  example  example ..  before  a  between  b  behind  end
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lm_lab.data.encoding.template import Template, templated
from lm_lab.errors import UsageError
from lm_lab.prompting.prompts import WORD, Prompt
from lm_lab.scoring.likelihood import Asked, Likelihood


@dataclass(frozen=True)
class EncodedPrompt:
    """A prompt for one model.

    Attributes:
        tokenizer: puts texts into the prompt, with a token of its own where the answer goes.
        gap: that token's id; None where the answer comes behind everything.
        last: the answer comes behind the texts.
        words: ids of each class's word, as they stand in the prompt.
        tail: how many ids stand behind the word that the task is about; None: it is about none.
    """

    tokenizer: Any
    gap: int | None
    last: bool
    words: tuple[tuple[int, ...], ...]
    tail: int | None = None

    def about(self, ids: list[int], marked: list[bool]) -> list[int]:
        """A prompted text with the word in its place: the first that is marked."""
        if self.tail is None or True not in marked:
            return ids
        first = marked.index(True)
        length = next((n for n, mark in enumerate(marked[first:]) if not mark), len(marked) - first)
        place = len(ids) - self.tail
        return [*ids[:place], *ids[first : first + length], *ids[place:]]

    def asked(self, ids: list[int], answer: int) -> Asked:
        """A prompted text with a class's word in its gap."""
        word = self.words[answer]
        if self.gap is None:
            return Asked([*ids, *word], list(range(len(ids), len(ids) + len(word))))
        places = [place for place, token in enumerate(ids) if token == self.gap]
        place = places[-1 if self.last else 0]
        return Asked([*ids[:place], *word, *ids[place + 1 :]], list(range(place, place + len(word))))


def encoded(model: Likelihood, prompt: Prompt, examples: Sequence[str]) -> EncodedPrompt:
    """A prompt in the tokens of a model.

    Args:
        model: whose tokenizer and special tokens are taken.
        prompt: what is asked.
        examples: texts with their answers, to be read before.

    Raises:
        UsageError: no token can stand for the answer, or a word has none of its own.
    """
    gap = None if model.backbone.causal else _gap(model.tokenizer)
    ids = [_piece(model.tokenizer, piece) for piece in prompt.pieces]
    place = prompt.names.index("answer")
    answer = [] if gap is None else [gap]
    tail = _tail(model, prompt, ids, place, len(answer))
    ids[place : place + 2] = [[*ids[place], *answer, *ids[place + 1]]]
    between = tuple(ids[1]) if len(ids) == 3 else Template.of(model.tokenizer).between
    shown = [token for text in examples for token in _example(model, text)]
    made = Template((*model.before, *shown, *ids[0]), between, (*ids[-1], *model.after))
    before = prompt.pieces[place]
    words = tuple(_word(model.tokenizer, before, word) for word in prompt.words)
    last = prompt.names[-1] == "answer"
    return EncodedPrompt(templated(model.tokenizer, made), gap, last, words, tail)


def _gap(tokenizer: Any) -> int:
    for token in (tokenizer.mask_token, "<extra_id_0>"):
        if token is not None and (found := tokenizer.get_vocab().get(token)) is not None:
            return int(found)
    raise UsageError(f"{type(tokenizer).__name__} has no token that could stand where the answer goes.")


def _tail(model: Likelihood, prompt: Prompt, ids: list[list[int]], answer: int, gap: int) -> int | None:
    """How many ids stand behind the word that the task is about."""
    for number, piece in enumerate(prompt.pieces):
        if WORD in piece:
            own = len(_piece(model.tokenizer, piece.partition(WORD)[2]))
            return own + sum(map(len, ids[number + 1 :])) + gap * (answer >= number) + len(model.after)
    return None


def _piece(tokenizer: Any, text: str) -> list[int]:
    """A piece of the template; a blank before a slot belongs to what fills it."""
    parts = [part.rstrip(" ") for part in text.split(WORD)]
    return [i for part in parts for i in tokenizer(part, add_special_tokens=False, verbose=False)["input_ids"]]


def _word(tokenizer: Any, before: str, word: str) -> tuple[int, ...]:
    """What a word adds to the piece before it: `great` and ` great` are two tokens to many tokenizers."""
    start, whole = _piece(tokenizer, before), _piece(tokenizer, before + word)
    alone = whole[len(start) :] if whole[: len(start)] == start else _piece(tokenizer, word)
    if not alone or tokenizer.unk_token_id in alone:
        raise UsageError(f"words: {word!r} is not in the vocabulary of this model; give another for its class.")
    return tuple(alone)


def _example(model: Likelihood, text: str) -> list[int]:
    """An example, and what stands behind it: the tokenizer's own separator, or an empty line."""
    separator = model.tokenizer.sep_token_id if not model.backbone.causal else None
    behind = [separator] if separator is not None else _piece(model.tokenizer, "\n\n")
    return [*_piece(model.tokenizer, text), *behind]

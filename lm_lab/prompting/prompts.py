"""A task as a text with a gap: where its texts stand, where the answer stands, and the word of each class.

cloze              a masked model, or one that fills gaps, reads to both sides: {a} It was {answer}.
left to right      a decoder writes the answer, which comes last: {a} It was {answer}
"""

import re
from dataclasses import dataclass

from lm_lab.errors import UsageError
from lm_lab.tasks import TextTask

WORD = "{word}"  # the word that a task is about, behind its texts
_SLOT = re.compile(r"\{(?!word\})(\w*)\}")
_NAMES = {1: ("a",), 2: ("a", "b")}


@dataclass(frozen=True)
class Prompt:
    """A template and its words.

    Args:
        template: with {a}, {b} of a pair, and {answer}, each once, {a} before {b}; and behind these two {word}, of a
            task that is about a word.
        words: what stands for each class, in the order of their ids.
    """

    template: str
    words: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The slots in their order."""
        return _SLOT.findall(self.template)

    @property
    def pieces(self) -> list[str]:
        """What stands before, between and behind the slots: one more than there are slots."""
        return _SLOT.split(self.template)[::2]

    def filled(self, texts: tuple[str, ...], answer: int, word: str = "") -> str:
        """The whole text of an example."""
        given = dict(zip(("a", "b"), texts, strict=False)) | {"answer": self.words[answer]}
        return _SLOT.sub(lambda slot: given[slot[1]], self.template.replace(WORD, word))


@dataclass(frozen=True)
class _Known:
    """The prompts of a task: words are the same in both forms."""

    cloze: str
    left_to_right: str
    words: tuple[str, ...]


_NLI = ("{a}? {answer}, {b}", "{a}\nQuestion: {b} Yes, No or Maybe?\nAnswer: {answer}")
_SAME = ("{a} {answer}, {b}", "{a}\n{b}\nQuestion: Do they mean the same? Yes or No?\nAnswer: {answer}")
_THREE, _TWO = ("Yes", "Maybe", "No"), ("Yes", "No")

# Cloze forms of English tasks are the manual ones of Gao et al. 2021 (https://arxiv.org/abs/2012.15723, table 1); those
# of decoders ask the same in the form of GPT-3 (Brown et al. 2020, appendix G).
_PROMPTS = {
    "sst2": _Known("{a} It was {answer}.", "{a} It was {answer}", ("terrible", "great")),
    "cola": _Known("{a} This is {answer}.", "{a} This is {answer}", ("incorrect", "correct")),
    "mrpc": _Known(*_SAME, ("No", "Yes")),
    "qqp": _Known(*_SAME, ("No", "Yes")),
    "mnli": _Known(*_NLI, _THREE),
    "snli": _Known(*_NLI, _THREE),
    "ax": _Known(*_NLI, _THREE),
    "qnli": _Known(_NLI[0], "{a}\n{b}\nQuestion: Is it answered? Yes or No?\nAnswer: {answer}", _TWO),
    "rte": _Known(_NLI[0], "{a}\nQuestion: {b} Yes or No?\nAnswer: {answer}", _TWO),
    "wnli": _Known(_NLI[0], "{a}\nQuestion: {b} Yes or No?\nAnswer: {answer}", _TWO[::-1]),
    "wic": _Known(
        "{a} {b} Does {word} mean the same? {answer}.",
        "{a}\n{b}\nQuestion: Is the word {word} used in the same way in the two sentences above? Yes or No?\nAnswer: "
        "{answer}",
        ("No", "Yes"),
    ),
    "chnsenticorp": _Known("{a}总之很{answer}。", "{a}总之很{answer}", ("差", "好")),
}


def prompt_of(task: TextTask, causal: bool, template: str | None, words: tuple[str, ...] | None) -> Prompt:
    """The prompt of a task.

    Args:
        task: of classes.
        causal: the model is a decoder.
        template: None takes the task's own; where it has none, its texts and the answer behind them.
        words: None takes the task's own; where it has none, the names of its classes.

    Raises:
        UsageError: slots that are not the task's, an answer that a decoder would have to write before a text, or
            words that are not one a class.
    """
    known, texts = _PROMPTS.get(task.name), _NAMES[len(task.columns)]
    usual = " ".join(f"{{{name}}}" for name in (*texts, "answer"))
    own = usual if known is None else known.left_to_right if causal else known.cloze
    named = known.words if known else tuple(label.replace("_", " ") for label in task.labels)
    prompt = Prompt(template or own, tuple(words or named))
    _require_slots(prompt, texts, causal)
    _require_word(prompt, task.marked)
    if len(prompt.words) != len(task.labels) or len(set(prompt.words)) != len(prompt.words) or not all(prompt.words):
        raise UsageError(
            f"words={list(prompt.words)}: expected another word for each of {', '.join(task.labels)}, in that order."
        )
    return prompt


def _require_word(prompt: Prompt, marked: bool) -> None:
    behind = prompt.pieces[max(prompt.names.index(name) for name in prompt.names if name != "answer") + 1 :]
    found = [piece.count(WORD) for piece in behind]
    if sum(found) != marked or prompt.template.count(WORD) != marked:
        expected = f"{WORD} once, behind the texts: the task is about a word" if marked else f"no {WORD}"
        raise UsageError(f"template={prompt.template!r}: expected {expected}.")


def _require_slots(prompt: Prompt, texts: tuple[str, ...], causal: bool) -> None:
    found = prompt.names
    if [name for name in found if name != "answer"] != list(texts) or found.count("answer") != 1:
        expected = ", ".join(f"{{{name}}}" for name in (*texts, "answer"))
        raise UsageError(f"template={prompt.template!r}: expected {expected}, each once, texts in that order.")
    if causal and (found[-1] != "answer" or prompt.pieces[-1].strip()):
        raise UsageError(f"template={prompt.template!r}: a decoder writes the answer, so {{answer}} comes last.")

"""Questions and contexts as windows of tokens with character offsets, for any fast tokenizer.

A context is tokenised once, however many questions ask about it. A window is the tokenizer's own form of a pair, the
question first; those of one context overlap by a fixed number of tokens.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from lm_lab.data.encoding.beside import packed
from lm_lab.data.encoding.encoding import Encoding
from lm_lab.data.encoding.ragged import Arrays, flat, offsets
from lm_lab.data.reading.questions import QuestionRows
from lm_lab.errors import UsageError

_CHUNK = 2000  # texts that are tokenised at a time


@dataclass(frozen=True)
class Template:
    """What a tokenizer puts around a pair.

    Attributes:
        before, between, after: special tokens.
        types: segment ids of before, first text, between, second text, after; None where the tokenizer has none.
        null: where "no answer" points: the tokenizer's class token, else the first one; negative from the end.
    """

    before: list[int]
    between: list[int]
    after: list[int]
    types: tuple[int, ...] | None
    null: int

    @classmethod
    def of(cls, tokenizer: Any) -> "Template":
        """Read off a pair of short texts."""
        encoded = tokenizer("a", "b")
        ids, texts, kinds = encoded["input_ids"], encoded.sequence_ids(), encoded.get("token_type_ids")
        first = [place for place, text in enumerate(texts) if text == 0]
        second = [place for place, text in enumerate(texts) if text == 1]
        cuts = [0, first[0], first[-1] + 1, second[0], second[-1] + 1, len(ids)]
        parts = [slice(*cut) for cut in pairwise(cuts)]
        types = None if kinds is None else tuple((kinds[part] or [0])[0] for part in parts)
        before, _, between, _, after = (ids[part] for part in parts)
        last = tokenizer.cls_token_id in after and tokenizer.cls_token_id not in before  # XLNet's
        return cls(before, between, after, types, after.index(tokenizer.cls_token_id) - len(after) if last else 0)

    @property
    def specials(self) -> int:
        """How many tokens it adds."""
        return len(self.before) + len(self.between) + len(self.after)

    def pieces(self, tokenizer: Any, known: int) -> tuple[list[str], "Template"]:
        """Names of its tokens, and a template of their numbers, behind those of `known` texts."""
        parts = (self.before, self.between, self.after)
        numbers = iter(range(known + 1, known + 1 + self.specials))
        names = tokenizer.convert_ids_to_tokens([token for part in parts for token in part])
        before, between, after = ([next(numbers) for _ in part] for part in parts)
        return names, replace(self, before=before, between=between, after=after, types=None)

    def join(self, question: np.ndarray, context: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ids and segment ids (t,) of a window."""
        parts = (self.before, question, self.between, context, self.after)
        ids = np.concatenate([np.asarray(part, np.int64) for part in parts])
        return ids, np.repeat(self.types or (0,) * 5, [len(part) for part in parts])


@dataclass(frozen=True)
class Windows:
    """w windows, in the order of their questions.

    Attributes:
        question: (w,) number of the row.
        start, stop: (w,) the tokens of the context that it shows.
    """

    question: np.ndarray
    start: np.ndarray
    stop: np.ndarray

    def take(self, index: np.ndarray) -> "Windows":
        """The windows at `index`."""
        return Windows(self.question[index], self.start[index], self.stop[index])


def tokenise(rows: QuestionRows, encoding: Encoding, max_question: int) -> Arrays:
    """Tokens of every question and of every different context.

    question_ids, question_offsets: questions of at most `max_question` tokens; questions_cut (1,): how many had more.
    context_ids, context_offsets, context_spans (tokens, 2): first character and the one behind the last.
    context_of (n,): which context a row asks about.
    pieces, surfaces: where the model asks for more than ids, the text of each token of all questions, then of all
    contexts, as a number from 1 on; and these texts.
    """
    contexts: dict[str, int] = {}
    of = [contexts.setdefault(text, len(contexts)) for text in rows.table["context"].to_pylist()]
    questions = rows.table["question"].to_pylist()
    asked, where = _tokens(questions, encoding.tokenizer)
    read, spans = _tokens(list(contexts), encoding.tokenizer)
    pieces = (
        _pieces([*questions, *contexts], [*(span[:max_question] for span in where), *spans]) if encoding.asks else {}
    )
    return pieces | {
        "question_ids": flat([ids[:max_question] for ids in asked], np.int32),
        "question_offsets": offsets([min(len(ids), max_question) for ids in asked]),
        "questions_cut": np.array([sum(len(ids) > max_question for ids in asked)]),
        "context_ids": flat(read, np.int32),
        "context_offsets": offsets([len(ids) for ids in read]),
        "context_spans": np.concatenate(spans),
        "context_of": np.array(of),
    }


def cut(arrays: Arrays, template: Template, max_length: int, overlap: int) -> Windows:
    """Windows that show every token of every context, each overlapping the next by `overlap` tokens.

    Raises:
        UsageError: a window would have no room for more than the overlap.
    """
    asked = np.diff(arrays["question_offsets"])
    tokens = np.diff(arrays["context_offsets"])[arrays["context_of"]]
    room = max_length - template.specials - asked
    step = room - overlap
    if (step < 1).any():
        raise UsageError(
            f"max_length={max_length} leaves {room.min()} tokens for a context beside the longest question, of which "
            f"overlap={overlap} repeat; give a longer max_length, or a smaller overlap or max_question."
        )
    count = 1 + np.maximum(0, -(-(tokens - room) // step))
    question = np.repeat(np.arange(len(count)), count)
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    start = (np.arange(len(question)) - first[question]) * step[question]
    return Windows(question, start, np.minimum(start + room[question], tokens[question]))


def answer_tokens(rows: QuestionRows, arrays: Arrays) -> tuple[np.ndarray, int]:
    """First and last token (n, 2) of each row's first answer in its context, -1 without one; and how many are wrong.

    An answer is wrong if the context does not have its text where it says; it counts as none.
    """
    found, wrong = np.full((len(rows), 2), -1), 0
    texts, answers = rows.table["context"].to_pylist(), rows.table["answers"].to_pylist()
    for row, (context, answer) in enumerate(zip(texts, answers, strict=True)):
        if not answer["text"]:
            continue
        text, start = answer["text"][0], answer["answer_start"][0]
        if not text or context[start : start + len(text)] != text:
            wrong += 1
            continue
        begin, end = arrays["context_offsets"][arrays["context_of"][row] :][:2]
        spans = arrays["context_spans"][begin:end]
        first = np.searchsorted(spans[:, 1], start, side="right")  # the first token that ends behind the start
        last = np.searchsorted(spans[:, 0], start + len(text), side="left") - 1  # the last that begins before the end
        if first <= last:
            found[row] = first, last
        else:
            wrong += 1
    return found, wrong


def shows(windows: Windows, answers: np.ndarray) -> np.ndarray:
    """(w,) bool: which windows show the whole answer of their question; answers (n, 2)."""
    own = answers[windows.question]
    return (own[:, 0] >= windows.start) & (own[:, 1] < windows.stop) & (own[:, 0] >= 0)


def labels(windows: Windows, answers: np.ndarray, arrays: Arrays, template: Template) -> np.ndarray:
    """(w, 2) positions of the answer in each window, or twice the position of "no answer" where it shows none."""
    asked = np.diff(arrays["question_offsets"])[windows.question]
    front = len(template.before) + asked + len(template.between)
    length = front + windows.stop - windows.start + len(template.after)
    null = length + template.null if template.null < 0 else np.zeros_like(length)
    placed = answers[windows.question] - windows.start[:, None] + front[:, None]
    return np.where(shows(windows, answers)[:, None], placed, null[:, None])


def report(rows: QuestionRows, windows: Windows, arrays: Arrays, wrong: int, lost: int) -> None:
    """Say how many contexts take several windows; warn of questions cut, answers misplaced, answers no window shows."""
    several = int((np.bincount(windows.question) > 1).sum())
    rank_zero_info(f"{rows.origin}: {len(rows)} questions, {several} on contexts longer than a window")
    troubles = {
        "questions are longer than max_question and were cut": int(arrays["questions_cut"][0]),
        "answers are not where answer_start says: left out": wrong,
        "answers are in no window whole: left out (a larger overlap finds them)": lost,
    }
    for trouble, count in troubles.items():
        if count:
            rank_zero_warn(f"{rows.origin}: {count} of {len(rows)} {trouble}")


def _pieces(texts: list[str], spans: list[np.ndarray]) -> Arrays:
    known: dict[str, int] = {}
    found = [
        known.setdefault(text[start:stop].strip(), len(known) + 1)
        for text, own in zip(texts, spans, strict=True)
        for start, stop in own.tolist()
    ]
    return {"pieces": np.array(found, np.int32), "surfaces": packed(known)}


def _tokens(texts: list[str], tokenizer: Any) -> tuple[list[list[int]], list[np.ndarray]]:
    ids, spans = [], []
    for begin in range(0, len(texts), _CHUNK):
        part = tokenizer(
            texts[begin : begin + _CHUNK], add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        ids += part["input_ids"]
        spans += [np.asarray(span, np.int32).reshape(-1, 2) for span in part["offset_mapping"]]
    return ids, spans

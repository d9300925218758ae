"""Windows to train on, and questions with all their windows to evaluate.

A window is put together when it is asked for, so memory holds each token of a context once.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from lm_lab.data.encoding import beside, windows
from lm_lab.data.encoding.encoding import Encoding
from lm_lab.data.encoding.ragged import Arrays
from lm_lab.data.encoding.windows import Template, Windows
from lm_lab.data.reading.questions import QuestionRows
from lm_lab.tokens import WordColumn


@dataclass(frozen=True)
class WindowsBeside:
    """What a model reads of the tokens of windows beside their ids.

    Attributes:
        questions, contexts: (tokens,) numbers of the pieces of all questions and of all contexts.
        template: of the numbers of its own tokens.
        tables: (u + 1, ...) of each name, the values of pieces by number.
    """

    questions: np.ndarray
    contexts: np.ndarray
    template: Template
    tables: dict[str, Tensor]

    @staticmethod
    def of(encoding: Encoding, arrays: Arrays, template: Template, origin: str) -> "WindowsBeside":
        """Computed of the pieces. Raises `UsageError` for a number a word, which questions do not have."""
        surfaces = beside.unpacked(arrays["surfaces"])
        names, own = template.pieces(encoding.tokenizer, len(surfaces))
        tables = {}
        for asked in encoding.asks:
            if isinstance(asked, WordColumn):
                beside.require(asked, {}, origin)
            else:
                tables[asked.name] = beside.table(asked, [*surfaces, *names])
        questions, contexts = np.split(arrays["pieces"], [arrays["question_offsets"][-1]])
        return WindowsBeside(questions, contexts, own, tables)

    def pad(self, windows: list[Tensor]) -> dict[str, Tensor]:
        """The values of windows of numbers, (w, t, ...) each."""
        places = pad_sequence(windows, batch_first=True)
        return {name: table[places] for name, table in self.tables.items()}


class EncodedSpans(Dataset[int]):
    """Questions as windows; `collate` makes the batch.

    Args:
        rows: the questions.
        arrays: tokens of questions and contexts, from `windows.tokenise`.
        template: how a window is put together.
        cut: all windows, in the order of their questions.
        labels: (w, 2) positions of the answer in each.
        train: an item is a window, else a question with all of its windows.
        pad_id: id of the padding token.
        answered: how many questions have an answer that a window shows whole.
        more: what the model reads of each token beside its id.
    """

    def __init__(
        self,
        rows: QuestionRows,
        arrays: Arrays,
        template: Template,
        cut: Windows,
        labels: np.ndarray,
        train: bool,
        pad_id: int,
        answered: int,
        more: WindowsBeside | None = None,
    ) -> None:
        self.rows, self.arrays, self.template, self.windows = rows, arrays, template, cut
        self.labels, self.train, self.pad_id, self.answered = labels, train, pad_id, answered
        self.more = more
        tokens = cut.stop - cut.start + np.diff(arrays["question_offsets"])[cut.question] + template.specials
        self.first = np.searchsorted(cut.question, np.arange(len(rows) + 1))  # where each question's windows begin
        self.lengths: np.ndarray = tokens if train else np.add.reduceat(tokens, self.first[:-1])

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> int:
        return index

    def collate(self, index: list[int]) -> dict[str, Any]:
        """A batch of b items in w windows of t tokens: `texts`, `labels` (w, 2), `ids` (b,).

        To evaluate also `rows`, `question` (w,), `offsets` (w, t, 2), `inside` (w, t) and `null` (w,), as
        `SpanTask.candidates` reads them.
        """
        if self.train:
            ids = self.rows.ids[self.windows.question[index]]
            return self._inputs(np.asarray(index)) | {"ids": torch.from_numpy(ids)}
        shown = [np.arange(self.first[i], self.first[i + 1]) for i in index]
        number = np.repeat(np.arange(len(index)), [len(own) for own in shown])
        asked = {"ids": torch.from_numpy(self.rows.ids[index]), "rows": [self.rows.example(i) for i in index]}
        chosen = np.concatenate(shown)
        return self._inputs(chosen) | self._places(chosen) | asked | {"question": torch.from_numpy(number)}

    def _inputs(self, chosen: np.ndarray) -> dict[str, Any]:
        asked, read = self.arrays["question_ids"], self.arrays["context_ids"]
        joined = [self.template.join(self._question(w, asked), self._context(read, w)) for w in chosen]
        ids = [torch.from_numpy(ids) for ids, _ in joined]
        text = {
            "input_ids": pad_sequence(ids, batch_first=True, padding_value=self.pad_id),
            "attention_mask": pad_sequence([torch.ones_like(own) for own in ids], batch_first=True),
        }
        if self.template.types is not None:
            text["token_type_ids"] = pad_sequence([torch.from_numpy(types) for _, types in joined], batch_first=True)
        if self.more:
            text |= self.more.pad([self._joined(self.more, w) for w in chosen])
        return {"texts": [text], "labels": torch.from_numpy(self.labels[chosen])}

    def _joined(self, more: WindowsBeside, window: int) -> Tensor:
        """(t,) the numbers of the pieces of a window."""
        question, context = self._question(window, more.questions), self._context(more.contexts, window)
        return torch.from_numpy(more.template.join(question, context)[0])

    def _places(self, chosen: np.ndarray) -> dict[str, Tensor]:
        """Which tokens are the context's, what characters they stand for, and where "no answer" is."""
        spans = [self._spans(w) for w in chosen]
        null = [len(span) + self.template.null if self.template.null < 0 else 0 for span in spans]
        padded = pad_sequence(spans, batch_first=True)
        return {"offsets": padded, "inside": padded[..., 0] < padded[..., 1], "null": torch.tensor(null)}

    def _spans(self, window: int) -> Tensor:
        """(t, 2) characters of each token of the window; (0, 0) outside of the context."""
        asked = self._question(window, self.arrays["question_ids"])
        front = len(self.template.before) + len(asked) + len(self.template.between)
        own = self._context(self.arrays["context_spans"], window).astype(np.int64)
        return torch.from_numpy(np.pad(own, ((front, len(self.template.after)), (0, 0))))

    def _question(self, window: int, values: np.ndarray) -> np.ndarray:
        row, bounds = self.windows.question[window], self.arrays["question_offsets"]
        return values[bounds[row] : bounds[row + 1]]

    def _context(self, values: np.ndarray, window: int) -> np.ndarray:
        begin = self.arrays["context_offsets"][self.arrays["context_of"][self.windows.question[window]]]
        return values[begin + self.windows.start[window] : begin + self.windows.stop[window]]


def encode_spans(rows: QuestionRows, encoding: Encoding, max_question: int, overlap: int, train: bool) -> EncodedSpans:
    """Cut rows into windows; tokens come from the cache where they were made before. Reports what was lost, counted."""
    key = encoding.fingerprint(rows.content(), "spans", max_question)
    arrays = encoding.cached(key, lambda: windows.tokenise(rows, encoding, max_question))
    template = Template.of(encoding.tokenizer)
    cut = windows.cut(arrays, template, encoding.max_length, overlap)
    answers, wrong = windows.answer_tokens(rows, arrays)
    shown = windows.shows(cut, answers)
    has = np.bincount(cut.question, shown, len(rows)) > 0  # the answer is whole in some window
    lost = int(((answers[:, 0] >= 0) & ~has).sum())
    windows.report(rows, cut, arrays, wrong, lost)
    if train:  # a question whose answer is not shown must not be taken for one that has none
        usable = has | (rows.answer_counts == 0)
        cut = cut.take(np.flatnonzero(usable[cut.question]))
    labels = windows.labels(cut, answers, arrays, template)
    pad_id = encoding.tokenizer.pad_token_id
    more = WindowsBeside.of(encoding, arrays, template, rows.origin) if encoding.asks else None
    return EncodedSpans(rows, arrays, template, cut, labels, train, pad_id, answered=int(has.sum()), more=more)

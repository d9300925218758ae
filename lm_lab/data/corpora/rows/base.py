"""What every way to make rows of a corpus is: how long its rows are at an epoch, and what each holds."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lm_lab.data.corpora.store import UNIT_BITS, TokenStore
from lm_lab.data.encoding.template import Template, ending
from lm_lab.errors import UsageError

_ID_MASK = (1 << UNIT_BITS) - 1
RowKey = tuple[int, int]  # an epoch and the number of a row in it


class CorpusRow(NamedTuple):
    """A row before it is padded.

    Attributes:
        ids: (t,) tokens in their template.
        later: how many of the last ones are of the second segment.
        labels: numbers of the row as a whole, by name.
    """

    ids: np.ndarray
    later: int = 0
    labels: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True)
class RowLayout:
    """How rows are laid out.

    Attributes:
        template: special tokens around and between texts.
        glue: ids between two documents of a row.
        extract: ids that end a text that a vector is read of: of a decoder, whose own template may end none.
        templated: False for a decoder, whose packed rows are cut from one stream of text.
        max_length: longest row in tokens, special ones included.
        pad_id: id that fills a batch up.
        typed: rows have `token_type_ids`.
        seed: of whatever is drawn.
    """

    template: Template
    glue: tuple[int, ...]
    extract: tuple[int, ...]
    templated: bool
    max_length: int
    pad_id: int
    typed: bool
    seed: int

    @staticmethod
    def of(tokenizer: Any, causal: bool, max_length: int, seed: int, segments: int = 2) -> "RowLayout":
        """The layout of a tokenizer's own template, for a model that embeds so many segments.

        Between documents stands what ends one, or begins the next.
        """
        template = Template.of(tokenizer)
        ends = (template.end + template.start) if causal else template.end
        spare = [token for token in (tokenizer.eos_token_id, tokenizer.sep_token_id) if token is not None]
        typed = "token_type_ids" in tokenizer.model_input_names and segments > 1
        glue = ends or tuple(spare[:1])
        extract = ending(tokenizer, template) if causal else template.end
        return RowLayout(template, glue, extract, not causal, max_length, tokenizer.pad_token_id, typed, seed)

    def row(self, first: np.ndarray, second: np.ndarray | None = None, **labels: int) -> "CorpusRow":
        """One or two texts in their template."""
        template = self.template
        if second is None:
            return CorpusRow(_join(template.start, first, template.end), labels=labels)
        ids = _join(template.start, first, template.between, second, template.end)
        return CorpusRow(ids, len(second) + len(template.end), labels)

    def room(self, texts: int = 1) -> int:
        """Tokens that are left for one or two texts."""
        template = self.template
        return self.max_length - len(template.start) - len(template.end) - (texts - 1) * len(template.between)

    def require_room(self, texts: int) -> None:
        """Raise `UsageError` unless a row has room for a token of each of one or two texts."""
        if self.room(texts) < texts:
            least = self.max_length - self.room(texts) + texts
            raise UsageError(f"max_length={self.max_length}: expected {least} or more, for special tokens and a text.")


class CorpusRows(Dataset[CorpusRow], ABC):
    """Rows of a corpus; an epoch has the same number of them as any other.

    Args:
        store: the documents.
        layout: how rows are laid out.

    Raises:
        UsageError: a row has no room for a text.
    """

    def __init__(self, store: TokenStore, layout: RowLayout) -> None:
        layout.require_room(2 if (store.firsts >= 0).any() else 1)
        self.store, self.layout = store, layout

    @abstractmethod
    def lengths(self, epoch: int) -> np.ndarray:
        """(n,) tokens of each row of an epoch."""

    @abstractmethod
    def row(self, epoch: int, index: int) -> CorpusRow:
        """A row of an epoch."""

    def lanes(self, batch_size: int) -> list[list[int]] | None:  # noqa: ARG002
        """The batches where their order is part of the rows; None leaves it to be drawn."""
        return None

    def __len__(self) -> int:
        return len(self.lengths(0))

    def __getitem__(self, key: RowKey) -> CorpusRow:
        return self.row(*key)

    def random(self, *numbers: int) -> np.random.Generator:
        """A generator of this seed and these numbers."""
        return np.random.default_rng([self.layout.seed, *numbers])

    def collate(self, rows: Sequence[CorpusRow]) -> dict[str, Tensor]:
        """A batch: `input_ids`, `attention_mask`, perhaps `token_type_ids`, each (b, t), and labels, each (b,).

        Rows are padded on the right to the longest. A text that came with spans adds `units` (b, t), the number of
        each token's span, 0 outside.
        """
        sizes = np.array([len(row.ids) for row in rows])[:, None]
        places = np.arange(sizes.max())
        real = places < sizes
        ids = np.full(real.shape, self.layout.pad_id)
        ids[real] = np.concatenate([row.ids for row in rows])
        batch = {"input_ids": ids & _ID_MASK}
        if self.store.units:
            batch["units"] = ids >> UNIT_BITS
        if self.layout.typed:
            first, second = self.layout.template.types
            later = places >= sizes - np.array([row.later for row in rows])[:, None]
            batch["token_type_ids"] = np.where(real, np.where(later, second, first), 0)
        batch["attention_mask"] = real.astype(np.int64)
        labels = {name: np.array([row.labels[name] for row in rows]) for name in rows[0].labels}
        return {name: torch.from_numpy(values) for name, values in (batch | labels).items()}


def _join(*parts: np.ndarray | tuple[int, ...]) -> np.ndarray:
    return np.concatenate([np.asarray(part, np.int64) for part in parts])


RowsFactory = Callable[[TokenStore, RowLayout], CorpusRows]

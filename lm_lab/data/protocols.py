"""What the data modules ask of the rows of any form, and of rows as tokens."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Protocol, Self

import numpy as np


class Rows(Protocol):
    """The examples of a split, in whatever columns their form has."""

    ids: np.ndarray  # (n,) int64, unique
    origin: str  # the file or source, for messages

    def __len__(self) -> int: ...

    def take(self, index: np.ndarray) -> Self:
        """The rows at `index`, in that order."""
        ...

    def content(self) -> Iterator[bytes]:
        """Everything that is trained or evaluated on, for a fingerprint."""
        ...


class Encoded(Protocol):
    """Rows as tokens: an item is its own position, and `collate` makes the batch."""

    rows: Any
    lengths: np.ndarray  # (n,) tokens of each item

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> int: ...

    def collate(self, index: list[int]) -> dict[str, Any]:
        """A batch: `texts`, a list of encoded inputs; `labels`; `ids` (b,); and what the task's `judge` needs."""
        ...


class Labelled(Protocol):
    """Rows of which some have a label."""

    @property
    def origin(self) -> str:
        """The file or source, for messages."""
        ...

    @property
    def unlabelled(self) -> Counter[str]:
        """What was read as "no label", and how often."""
        ...

    def __len__(self) -> int: ...

    @property
    def labelled(self) -> np.ndarray:
        """(n,) bool: which rows have one."""
        ...

    def take(self, index: np.ndarray) -> Self:
        """The rows at `index`, in that order."""
        ...

"""Token embeddings that are computed of what a token looks like, in place of a table: settings, and what they build.

A corpus keeps ids alone and noise changes them, so what is read of a token (characters, a picture) stands in a buffer
with a row for each id, made of the tokenizer's vocabulary. A batch is computed of its different ids, each once.
"""

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

import torch.nn.functional as F
from torch import Tensor, nn

from lm_lab.described import named, plain
from lm_lab.errors import UsageError

_FILE = "embeddings.json"
_HOME = "lm_lab.backbones."
FRESH = 0.1 / 3**0.5  # standard deviation of a recurrent backbone's fresh table


class TokenEmbeddings(ABC):
    """What a configuration says of computed embeddings: a frozen dataclass, from any package."""

    @abstractmethod
    def build(self, tokenizer: Any, width: int, deviation: float = FRESH) -> "ComputedEmbeddings":
        """The module for the ids of a tokenizer; its embeddings are `width` wide.

        `deviation` is that of the numbers in the table whose place it takes: positions are added to them, and a rate is
        chosen for their size, so embeddings that can should begin with the same.
        """

    @property
    def identity(self) -> str:
        """What decides on the embeddings, in words that do not depend on where files lie."""
        return repr(self)

    def kept(self, folder: Path, tokenizer: Any) -> Self:  # noqa: ARG002
        """The settings that a folder keeps, once the files that they name are copied there."""
        return self

    def found(self, folder: Path) -> Self:  # noqa: ARG002
        """The settings that a folder kept, with its own files."""
        return self


class ComputedEmbeddings(nn.Module, ABC):
    """From ids (...) to embeddings (..., e), as `nn.Embedding`.

    Args:
        count: of ids.
        width: e.
    """

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = count, width

    def forward(self, ids: Tensor) -> Tensor:
        """Each different id is computed once."""
        different, places = ids.unique(return_inverse=True)
        return F.embedding(places, self.rows(different))

    @abstractmethod
    def rows(self, ids: Tensor) -> Tensor:
        """(n,) -> (n, e)."""


def write(settings: TokenEmbeddings | None, folder: Path, tokenizer: Any) -> None:
    """Keep settings in the folder of a backbone; none where a table is among its weights."""
    if settings is not None:
        text = json.dumps(plain(settings.kept(folder, tokenizer)), indent=1)
        (folder / _FILE).write_text(text + "\n", encoding="utf-8")


def read(folder: Path) -> TokenEmbeddings | None:
    """What a folder kept, None where nothing. Raises `UsageError` for a class from elsewhere, or a damaged file."""
    path = Path(folder) / _FILE
    if not path.is_file():
        return None
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        kind, settings = said["class_path"], said["init_args"]
        if not kind.startswith(_HOME):  # a folder may be a stranger's: nothing of elsewhere is imported on its word
            raise UsageError(f"{path} names {kind!r:.120}, of another package; give it as `embeddings`.")
        cls = named(kind)
        if not (isinstance(cls, type) and issubclass(cls, TokenEmbeddings)):
            raise TypeError(kind)
        return cls(
            **{name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
        ).found(folder)
    except (ValueError, LookupError, TypeError, AttributeError, ImportError) as error:
        raise UsageError(f"{path} is damaged: {error!r:.200}; expected class_path and init_args.") from error

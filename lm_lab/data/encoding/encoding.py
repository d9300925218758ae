"""How a model wants its texts, and a cache of tokenised ones under a fingerprint of texts, tokenizer and settings."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from lightning.pytorch.utilities import rank_zero_warn
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from lm_lab.atomic import replacing
from lm_lab.data import checksums
from lm_lab.data.encoding.ragged import Arrays
from lm_lab.errors import UsageError
from lm_lab.tokens import Asked

Pairs = Literal["cross_encoder", "bi_encoder", "both_orders"]
Side = Literal["right", "left"]

T = TypeVar("T")
_CHECKSUM = "sha256"


@dataclass(frozen=True)
class Encoding:
    """How texts become tokens.

    Attributes:
        tokenizer: a fast tokenizer of `transformers`; its template holds what stands between two texts and behind the
            last (`lm_lab.data.encoding.template`), so a fingerprint covers these too.
        pairs: "cross_encoder" encodes a pair as one sequence, "bi_encoder" each text on its own, "both_orders" the
            pair as one sequence and turned round as another.
        max_length: longest sequence in tokens; what is longer is truncated and counted.
        side: the end of a text where it is truncated.
        causal: the model reads from left to right, and rows of a corpus need no template.
        segments: how many segments the model tells apart.
        asks: what the model reads of a token beside its id.
        kept: tokens are written to the cache; False for texts that come once.
    """

    tokenizer: Any
    pairs: Pairs
    max_length: int
    side: Side = "right"
    causal: bool = False
    segments: int = 2
    asks: tuple[Asked, ...] = ()
    kept: bool = True

    def require_room(self, texts: int) -> None:
        """Raise `UsageError` unless a sequence has room for a token of each of its one or two texts."""
        texts = 1 if self.pairs == "bi_encoder" else texts
        special = self.tokenizer.num_special_tokens_to_add(pair=texts == 2)
        if self.max_length < special + texts:
            raise UsageError(
                f"max_length={self.max_length}: this tokenizer adds {special} tokens to every sequence; expected "
                f"{special + texts} or more."
            )

    def truncating(self, *texts: Any, **options: Any) -> Any:
        """What the tokenizer makes of texts of at most `max_length` tokens each."""
        own, self.tokenizer.truncation_side = self.tokenizer.truncation_side, self.side
        try:
            return self.tokenizer(*texts, truncation=True, max_length=self.max_length, verbose=False, **options)
        finally:
            self.tokenizer.truncation_side = own

    def inputs(self, texts: Sequence[T]) -> list[tuple[T, ...]]:
        """What is encoded as one sequence each, of one or two texts (or columns of texts)."""
        if self.pairs == "bi_encoder":
            return [(text,) for text in texts]
        both = self.pairs == "both_orders" and len(texts) == 2
        return [tuple(texts), tuple(reversed(texts))] if both else [tuple(texts)]

    def fingerprint(self, content: Iterable[bytes], *settings: Any) -> str:
        """Hash of everything that the tokens of `content` depend on."""
        state = json.loads(self.tokenizer.backend_tokenizer.to_str())
        state.pop("truncation"), state.pop("padding")  # set anew by every call
        side = [self.side] if self.side == "left" else []
        beside = ["beside"] if self.asks else []  # pieces and words are kept, whatever is computed of them
        digest = hashlib.sha256(json.dumps([state, self.pairs, self.max_length, *settings, *side, *beside]).encode())
        for part in content:
            digest.update(part)
        return digest.hexdigest()[:32]

    def cached(self, fingerprint: str, encode: Callable[[], Arrays]) -> Arrays:
        """The arrays that `encode` gives, read from disk where they were encoded before."""
        return cached(fingerprint, encode) if self.kept else encode()


def cached(fingerprint: str, encode: Callable[[], Arrays]) -> Arrays:
    """The arrays that `encode` gives, read from disk where they were encoded before; a damaged file is made anew."""
    path = cache_folder() / "tokens" / f"{fingerprint}.safetensors"
    if (found := _whole(path)) is not None:
        return found
    arrays = encode()
    with replacing(path) as beside:
        save_file(arrays, beside, metadata={_CHECKSUM: checksums.of_arrays(arrays)})
    return arrays


def _whole(path: Path) -> Arrays | None:
    """The arrays of a file, None if it is not there or not what was written."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, "numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dictionary
            if (file.metadata() or {}).get(_CHECKSUM) == checksums.of_arrays(arrays):
                return arrays
    except (SafetensorError, OSError, ValueError, TypeError):
        pass
    rank_zero_warn(f"{path} is damaged, or of an older version: tokenised anew")
    return None


def cache_folder() -> Path:
    """`LM_LAB_CACHE`, or `lm_lab` below the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("LM_LAB_CACHE") or Path(home) / "lm_lab")

"""How a model wants its texts, and a cache of tokenised ones under a fingerprint of texts, tokenizer and settings."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from safetensors.numpy import load_file, save_file

from lm_lab.atomic import replacing
from lm_lab.data.ragged import Arrays

Pairs = Literal["joint", "towers", "both_orders"]

T = TypeVar("T")


@dataclass(frozen=True)
class Encoding:
    """How texts become tokens.

    Attributes:
        tokenizer: a fast tokenizer of `transformers`; its template holds what stands between two texts and behind the
            last (`lm_lab.data.framing`), so a fingerprint covers these too.
        pairs: "joint" encodes a pair as one sequence, "towers" each text on its own, "both_orders" the pair as one
            sequence and turned round as another.
        max_length: longest sequence in tokens; what is longer is truncated and counted.
    """

    tokenizer: Any
    pairs: Pairs
    max_length: int

    def inputs(self, texts: Sequence[T]) -> list[tuple[T, ...]]:
        """What is encoded as one sequence each, of one or two texts (or columns of texts)."""
        if self.pairs == "towers":
            return [(text,) for text in texts]
        both = self.pairs == "both_orders" and len(texts) == 2
        return [tuple(texts), tuple(reversed(texts))] if both else [tuple(texts)]

    def fingerprint(self, content: Iterable[bytes], *settings: Any) -> str:
        """Hash of everything that the tokens of `content` depend on."""
        state = json.loads(self.tokenizer.backend_tokenizer.to_str())
        state.pop("truncation"), state.pop("padding")  # set anew by every call
        digest = hashlib.sha256(json.dumps([state, self.pairs, self.max_length, *settings]).encode())
        for part in content:
            digest.update(part)
        return digest.hexdigest()[:32]


def cached(fingerprint: str, encode: Callable[[], Arrays]) -> Arrays:
    """The arrays that `encode` gives, read from disk where they were encoded before."""
    path = cache_folder() / "tokens" / f"{fingerprint}.safetensors"
    if path.is_file():
        return load_file(path)
    arrays = encode()
    with replacing(path) as beside:
        save_file(arrays, beside)
    return arrays


def cache_folder() -> Path:
    """`LM_LAB_CACHE`, or `lm_lab` below the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("LM_LAB_CACHE") or Path(home) / "lm_lab")

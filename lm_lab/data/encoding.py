"""How a model wants its texts, and a cache of tokenised ones under a fingerprint of texts, tokenizer and settings."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors.numpy import load_file, save_file

from lm_lab.data.ragged import Arrays

Pairs = Literal["joint", "towers"]


@dataclass(frozen=True)
class Encoding:
    """How texts become tokens.

    Attributes:
        tokenizer: a fast tokenizer of `transformers`.
        pairs: "joint" encodes a pair as one sequence, "towers" each text on its own.
        max_length: longest sequence in tokens; what is longer is truncated and counted.
    """

    tokenizer: Any
    pairs: Pairs
    max_length: int

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
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as stream:
        temporary = Path(stream.name)
    save_file(arrays, temporary)
    temporary.replace(path)  # a reader sees the whole file or none
    return arrays


def cache_folder() -> Path:
    """`LM_LAB_CACHE`, or `lm_lab` below the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("LM_LAB_CACHE") or Path(home) / "lm_lab")

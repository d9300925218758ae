"""Which weights a backbone has, by the content of the files that are loaded: one identity for folders and the hub.

A name and a revision are no identity: branches move, and mirrors and folders hold the same weights under other names.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig
from transformers.utils import cached_file

from lm_lab.backbones.embeddings.base import TokenEmbeddings
from lm_lab.errors import UsageError

_WHOLE = ("model.safetensors", "pytorch_model.bin")
_SHARDED = ".index.json"  # behind either name
_UNREAD = {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "id2label", "label2id"}


def fingerprint(source: str, config: PreTrainedConfig, pretrained: bool, revision: str | None = None) -> str:
    """Sixteen hexadecimal digits of what decides on hidden states; of random weights "random-" and the configuration's.

    Args:
        source: hub id or folder.
        config: as it is loaded; dropout, which changes none that is compared, may be set.
        pretrained: whether weights are loaded.
        revision: of the hub.
    """
    if not pretrained:
        return f"random-{_short(config.to_json_string(use_diff=True))}"
    files = weight_files(source, revision)
    weights = _digest(tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files))
    settings = {name: value for name, value in config.to_diff_dict().items() if name not in _UNREAD}
    return _short(weights + json.dumps(settings, sort_keys=True, default=str))


def with_embeddings(fingerprint: str, computed: TokenEmbeddings | None) -> str:
    """That of a model whose embeddings are computed: `computed` decides on hidden states too."""
    if computed is None:
        return fingerprint
    random = "random-" if fingerprint.startswith("random-") else ""
    return f"{random}{_short(fingerprint + computed.identity)}"


def of_weights(kind: str, settings: Mapping[str, Any], weights: Mapping[str, Tensor], pretrained: bool) -> str:
    """Sixteen hexadecimal digits of a class, its settings without names of files, and all weights; of random weights
    "random-" and those of their shapes."""
    known = {name: value for name, value in settings.items() if not _is_path(value)}
    digest = hashlib.sha256(json.dumps([kind, known], sort_keys=True, default=_said).encode())
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        if pretrained:
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return f"{'' if pretrained else 'random-'}{digest.hexdigest()[:16]}"


def weight_files(source: str, revision: str | None = None) -> list[Path]:
    """The files that `from_pretrained` reads of a hub id or a folder: safetensors, else pickled; empty without any.

    Raises:
        UsageError: an index of shards that cannot be read, or names one that is not there.
    """
    for name in _WHOLE:
        if whole := _file(source, name, revision):
            return [whole]
        if index := _file(source, name + _SHARDED, revision):
            return [_shard(source, shard, revision, index) for shard in _shards(index)]
    return []


def _file(source: str, name: str, revision: str | None) -> Path | None:
    """A file of a folder, or of the hub: from its cache, where it is put if it is not there."""
    if Path(source).exists():
        path = Path(source, name)
        return path if path.is_file() else None
    flags: dict[str, Any] = dict.fromkeys(
        ("_raise_exceptions_for_missing_entries", "_raise_exceptions_for_connection_errors"), False
    )
    found = cached_file(source, name, revision=revision, **flags)
    return Path(found) if found else None


def _shards(index: Path) -> Iterable[str]:
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UsageError(f"{index} is no index of weights ({type(error).__name__}); get it again.") from error


def _shard(source: str, name: str, revision: str | None, index: Path) -> Path:
    if found := _file(source, str(name), revision):
        return found
    raise UsageError(f"{index} names {name}, which is not at '{source}'; get the weights again.")


def _said(value: Any) -> str:
    return value.identity if isinstance(value, TokenEmbeddings) else str(value)


def _is_path(value: Any) -> bool:
    return isinstance(value, str | Path) and os.path.exists(value)


@cache
def _digest(files: tuple[tuple[str, int, int], ...]) -> str:
    """SHA-256 over those of files, each given with its size and time of change so that it is read once."""
    digest = hashlib.sha256()
    for name, _, _ in files:
        with open(name, "rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]

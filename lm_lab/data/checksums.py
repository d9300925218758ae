"""Checksums of arrays and files: what a full disk or a fault has damaged is noticed instead of trained on."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

SMALL = 64 * 2**20  # bytes of a file that is read whole for its state
_EDGE = 2**20


def of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of the names, types, shapes and values: about a second a gigabyte."""
    digest = hashlib.sha256()
    for name, values in sorted(arrays.items()):
        digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def of_file(path: Path) -> list[str]:
    """What tells one state of a file from another: its name and its content.

    Of a file above 64 MiB: its path, size and time of change, and the content of its first and last MiB.
    """
    state = path.stat()
    if state.st_size <= SMALL:
        return [path.name, hashlib.sha256(path.read_bytes()).hexdigest()]
    with path.open("rb") as stream:
        digest = hashlib.sha256(stream.read(_EDGE))
        stream.seek(-_EDGE, 2)
        digest.update(stream.read())
    return [str(path), str(state.st_size), str(state.st_mtime_ns), digest.hexdigest()]

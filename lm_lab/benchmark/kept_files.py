"""Files of what frozen parts compute, kept from job to job up to a limit: the least recently used go first.

Who reads a file has a shared lock on it for as long as what was read is there, or the process is; such a file stays,
whatever the limit. What belongs together (`KEY-0.states`, `KEY-1.states`, `KEY.json`) is kept or goes together.
"""

import fcntl
import os
import weakref
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from torch import Tensor

from lm_lab.errors import UsageError

LIMIT, BOUNDARIES = "LM_LAB_FEATURES", "LM_LAB_BOUNDARIES"
_DEFAULTS = {LIMIT: 32.0, BOUNDARIES: 4.0}
_KEPT = (".safetensors", ".states", ".json")
_GIB = 2**30


def limit(name: str) -> float:
    """The bytes that an environment variable allows, in GiB there. Raises `UsageError` for what is no size."""
    given = os.environ.get(name, "")
    try:
        size = float(given or _DEFAULTS[name])
    except ValueError:
        size = -1.0
    if not size >= 0:
        raise UsageError(
            f"{name}={given}: expected a number of GiB of 0 or more; {_DEFAULTS[name]:g} if it is not set."
        )
    return size * _GIB


class Held:
    """Files that are in use until `release`, or until a tensor that was read from them is gone."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._files: list[IO[bytes]] = []
        for path in paths:
            if path.exists():
                self._files.append(path.open("rb"))
                fcntl.flock(self._files[-1], fcntl.LOCK_SH)
                os.utime(path)

    def until_gone(self, tensor: Tensor) -> None:
        """Hold them for as long as this tensor is there."""
        weakref.finalize(tensor, self.release)

    def release(self) -> None:
        """They are free."""
        for file in self._files:
            file.close()


def trim(folder: Path) -> None:
    """Remove the least recently used files below `folder` until they are within the limit, but none that is in use."""
    most, kept = limit(LIMIT), _kept(folder)
    total = sum(size for _, size, _ in kept)
    for _, size, paths in kept:
        if total <= most:
            return
        total -= size if _removed(paths) else 0


def _kept(folder: Path) -> list[tuple[float, int, list[Path]]]:
    """When they were used last, how large they are, and which: of all files that belong together."""
    together: dict[Path, list[Path]] = defaultdict(list)
    for path in folder.rglob("*"):
        if path.suffix in _KEPT:
            together[path.with_name(path.stem.partition("-")[0])].append(path)
    found = []
    for paths in together.values():
        try:
            facts = [path.stat() for path in paths]
        except FileNotFoundError:  # another process removes them
            continue
        found.append((max(each.st_mtime for each in facts), sum(each.st_size for each in facts), paths))
    return sorted(found)


def _removed(paths: Sequence[Path]) -> bool:
    """False if somebody uses one of them."""
    with ExitStack() as stack:
        try:
            for path in paths:
                fcntl.flock(stack.enter_context(path.open("rb")), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, FileNotFoundError):
            return False
        for path in paths:
            path.unlink(missing_ok=True)
    return True

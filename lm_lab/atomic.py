"""Files and folders that appear whole or not at all."""

import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psutil

from lm_lab.errors import UsageError

WRITING = ".writing-"  # what a kill may leave begins with it
_PRIVATE = 0o600
_STALE = 24 * 3600.0  # seconds after which the leavings of another machine are nobody's
_NAME = re.compile(rf"{re.escape(WRITING)}(?P<host>.+)-(?P<pid>\d+)-[0-9a-f]{{32}}")


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Turn what a disk refuses to write at `path` into a `UsageError`."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"'{path}' cannot be written: {error.strerror or error}; give another folder.") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a free path beside `path` for a file or a folder, which then takes the place of `path`.

    If anything is raised, what was written is removed and `path` stays as it was. What a process that was killed has
    left in this folder is removed. Whoever may read new files of this user may read this one, unlike those of
    `tempfile`: caches and results are shared.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    beside = path.with_name(f"{WRITING}{socket.gethostname()}-{os.getpid()}-{uuid4().hex}")
    try:
        yield beside
        share(beside)
        os.replace(beside, path)
    except BaseException:
        _remove(beside)
        raise


def share(path: Path) -> None:
    """Let others read a file, or a folder's files, as the umask has it: those of safetensors are private."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    if not any(file.stat().st_mode & 0o777 == _PRIVATE for file in files):
        return
    probe = path.with_name(f"{WRITING}{socket.gethostname()}-{os.getpid()}-{uuid4().hex}")
    probe.touch()  # the umask itself can be asked for only by changing it, for all threads
    mode = probe.stat().st_mode & 0o777
    probe.unlink()
    for file in files:
        if file.stat().st_mode & 0o777 == _PRIVATE:
            file.chmod(mode)


def replace_file(path: Path, content: bytes) -> None:
    """Write, flush to disk, then rename: readers see the old file or the whole new one, after a power cut too."""
    with replacing(path) as beside, open(beside, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def remove_leftovers(folder: Path) -> None:
    """Remove what kills have left half written in `folder`, where nobody writes now."""
    for left in folder.glob(f"{WRITING}*"):
        _remove(left)


def _sweep(folder: Path) -> None:
    for left in folder.glob(f"{WRITING}*"):
        if _abandoned(left):
            _remove(left)


def _abandoned(path: Path) -> bool:
    """Whether the process that was writing is gone; of another machine's nothing is known but the time."""
    owner = _NAME.fullmatch(path.name)
    if owner and owner["host"] == socket.gethostname():
        return not psutil.pid_exists(int(owner["pid"]))
    try:
        return time.time() - path.stat().st_mtime > _STALE
    except OSError:  # it is gone already
        return False


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def require_writable(folder: Path) -> None:
    """Raise `UsageError` unless files can be written to `folder`, which is made: found before any time is spent."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"nothing can be written to '{folder}': {error.strerror}; choose another folder.") from error

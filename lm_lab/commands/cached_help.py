"""Help that was shown before, at once: building the parser of a trainer imports Lightning, which takes seconds.

What a command prints depends on its words, the width of the terminal, this package's files and the versions of what it
is built from; those are the key. Settings read from a file, and code that only a command allows, are never kept.
"""

import hashlib
import io
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout, suppress
from importlib.metadata import version
from pathlib import Path

import lm_lab

_BUILT_FROM = ("lightning", "jsonargparse", "torch", "transformers")
_NEVER = ("--config", "--allow-import")


def with_cached_help(run: Callable[[], int | None], words: list[str]) -> int | None:
    """Run a command; where it is asked for help, show what it said last time, or keep what it says now."""
    if not _asks(words):
        return run()
    path = _folder() / f"{_key(words)}.txt"
    with suppress(OSError):
        print(path.read_text(encoding="utf-8"), end="")
        return 0
    said = io.StringIO()
    try:
        with redirect_stdout(said):
            code = run()
    except SystemExit as ended:  # as every parser ends that has shown its help
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    finally:
        print(said.getvalue(), end="")
    if not code and said.getvalue():
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(said.getvalue(), encoding="utf-8")
    return code


def _asks(words: Sequence[str]) -> bool:
    names = [word.partition("=")[0] for word in words]
    return any(name in ("-h", "--help") or name.endswith(".help") for name in names) and not {*names} & {*_NEVER}


def _folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "lm_lab", "help")


def _key(words: Sequence[str]) -> str:
    root = Path(lm_lab.__file__).parent
    files = sorted((str(path), path.stat().st_mtime_ns) for path in root.rglob("*.py"))
    parts = [
        words,
        sys.argv[:1],
        sys.version,
        shutil.get_terminal_size().columns,
        files,
        [version(name) for name in _BUILT_FROM],
    ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]

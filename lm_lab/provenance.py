"""Where a figure comes from: versions, commit, hardware. Recorded in every cell and beside pretrained weights.

The machine's and the user's names are left out, and commands are redacted: results are there to be shown.
"""

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from lm_lab.redaction import redacted_words

_PACKAGES = ("torch", "transformers", "lightning", "datasets", "tokenizers")


@cache
def versions() -> dict[str, str]:
    """Versions of this project, Python and the packages that can change a score."""
    from lm_lab import __version__

    return {"lm_lab": __version__, "python": platform.python_version()} | {name: version(name) for name in _PACKAGES}


@cache
def git_state() -> dict[str, Any]:
    """Commit of the checkout this package runs from, and whether its files differ from it; None outside of one."""
    head = _git("rev-parse", "HEAD")
    status = _git("status", "--porcelain", "--untracked-files=no")
    return {"commit": head or None, "dirty": bool(status) if head else None}


def hardware() -> dict[str, Any]:
    """Processor, cores, threads used by torch, memory in bytes, and the GPU's name."""
    import torch

    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def command() -> str:
    """The command line without folders in front of the program, redacted, and quoted for a shell."""
    program = Path(sys.argv[0]).name
    return shlex.join(["lm-lab" if program == "__main__.py" else program, *redacted_words(sys.argv[1:])])


def in_words() -> dict[str, str]:
    """Command, commit, hardware and versions of this process, a line each."""
    of = hardware()
    return {
        "command": command(),
        "commit": commit(git_state()),
        "hardware": f"{of['cpu']}, {of['cores']} cores, {of['threads']} threads, GPU: {of['gpu'] or 'none'}",
        "versions": ", ".join(f"{name} {number}" for name, number in versions().items()),
    }


def commit(git: Mapping[str, Any]) -> str:
    """Return what `git_state` found as one line."""
    if not git.get("commit"):
        return "no git commit"
    return str(git["commit"]) + (" with uncommitted changes" if git.get("dirty") else "")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


@cache
def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()

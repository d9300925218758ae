"""Where a figure comes from: versions, commit, hardware. Recorded in every cell."""

import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

_PACKAGES = ("torch", "transformers", "lightning", "datasets", "tokenizers")


@cache
def versions() -> dict[str, str]:
    """Versions of this project, Python and the packages that can change a score."""
    from lm_lab import __version__

    return {"lm_lab": __version__, "python": platform.python_version()} | {name: version(name) for name in _PACKAGES}


@cache
def git_state() -> dict[str, Any]:
    """Commit of the checkout this package runs from, and whether its files differ from it; None outside of one."""
    commit = _git("rev-parse", "HEAD")
    status = _git("status", "--porcelain", "--untracked-files=no")
    return {"commit": commit or None, "dirty": bool(status) if commit else None}


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
    """The command line without folders in front of the program."""
    program = Path(sys.argv[0]).name
    return " ".join(["lm-lab" if program == "__main__.py" else program, *sys.argv[1:]])


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

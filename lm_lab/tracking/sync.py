"""Uploads what was logged offline: every run below a folder, once, by W&B's own `wandb sync`."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lm_lab.errors import UsageError
from lm_lab.tracking.session import check_online, online

BATCH = 50  # runs in one command: what is uploaded stays so when the next one is interrupted


class Offline(NamedTuple):
    """Folders of offline runs: those that are on a server already, and those that are not."""

    uploaded: list[Path]
    waiting: list[Path]


def offline_runs(root: Path) -> Offline:
    """The runs below a suite's results, a logger's folder or a run's own. Raises `UsageError` if there are none."""
    if not root.is_dir():
        raise UsageError(f"'{root}' is no folder; give the results of a suite, or what `save_dir` of a logger named.")
    found = _found(root)
    if not found:
        raise UsageError(f"'{root}' holds no offline run of W&B; configs/tracking/wandb.yaml and suites log them.")
    return Offline([run for run in found if _marked(run)], [run for run in found if not _marked(run)])


def waiting(root: Path) -> list[Path]:
    """The runs below a folder that are on no server yet; none where there is none."""
    return [run for run in _found(root) if not _marked(run)]


def upload(runs: Sequence[Path]) -> list[Path]:
    """Upload runs, and return those that are not on the server afterwards.

    W&B leaves a file `.synced` beside each that it has uploaded, so the same call goes on where this one ended.

    Raises:
        UsageError: there is no key, or the server does not answer.
    """
    with online():
        if runs:
            check_online()
        _upload(runs)
    return [run for run in runs if not _marked(run)]


def _upload(runs: Sequence[Path]) -> None:
    for start in range(0, len(runs), BATCH):
        command = [sys.executable, "-m", "wandb", "sync", "--yes", *map(str, runs[start : start + BATCH])]
        subprocess.run(command, check=False)


def _found(root: Path) -> list[Path]:
    return sorted({path.parent for path in root.rglob("*.wandb") if path.parent.name.startswith("offline-run-")})


def _marked(run: Path) -> bool:
    return any(run.glob("*.wandb.synced"))

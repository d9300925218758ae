"""`lm_lab/atomic.py`: whole or not at all, and as readable to others as any new file."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lm_lab.atomic import replacing


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_written_is_there_afterwards_and_not_before(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "new" / "target"
    with replacing(target) as beside:
        beside.write_text("whole") if kind == "file" else beside.mkdir()
        assert not target.exists()
        assert beside.parent == target.parent  # renaming goes no further than one file system
    assert target.read_text() == "whole" if kind == "file" else target.is_dir()
    assert names(target.parent) == ["target"]


@pytest.mark.parametrize("kind", ["file", "folder", "nothing"])
def test_what_is_interrupted_leaves_what_was_there(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    target.write_text("old")

    def interrupted() -> None:
        with replacing(target) as beside:
            if kind == "file":
                beside.write_text("half")
            elif kind == "folder":
                beside.mkdir()
                (beside / "part").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["target"]


def test_others_may_read_it_as_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with replacing(tmp_path / "shared") as beside:
            beside.write_text("for all")
    finally:
        os.umask(before)
    assert (tmp_path / "shared").stat().st_mode & 0o777 == 0o644


def test_what_a_killed_process_left_is_removed_by_the_next_writer(tmp_path: Path) -> None:
    host, key = socket.gethostname(), "0" * 32
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    abandoned = tmp_path / f".writing-{host}-{gone.pid}-{key}"
    abandoned.mkdir()
    (abandoned / "part").write_text("half")
    other = tmp_path / f".writing-elsewhere-1-{key}"
    old = tmp_path / f".writing-{key}"
    alive = tmp_path / f".writing-{host}-{os.getpid()}-{key}"
    for path in (other, old, alive):
        path.write_text("half")
    os.utime(old, (0, 0))
    with replacing(tmp_path / "target") as beside:
        beside.write_text("whole")
    assert names(tmp_path) == sorted([other.name, alive.name, "target"])

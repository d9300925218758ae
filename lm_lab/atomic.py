"""Files and folders that appear whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

WRITING = ".writing-"  # what a kill may leave begins with it


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a free path beside `path` for a file or a folder, which then takes the place of `path`.

    If anything is raised, what was written is removed and `path` stays as it was. Whoever may read new files of this
    user may read this one, unlike those of `tempfile`: caches and results are shared.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{WRITING}{uuid4().hex}")
    try:
        yield beside
        os.replace(beside, path)
    except BaseException:
        if beside.is_dir():
            shutil.rmtree(beside)
        else:
            beside.unlink(missing_ok=True)
        raise


def replace_file(path: Path, content: bytes) -> None:
    """Write, flush to disk, then rename: readers see the old file or the whole new one, after a power cut too."""
    with replacing(path) as beside, open(beside, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def remove_leftovers(folder: Path) -> None:
    """Remove what kills have left half written in `folder`, where nobody writes now."""
    for left in folder.glob(f"{WRITING}*"):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()

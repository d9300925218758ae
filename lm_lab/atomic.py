"""Files and folders that appear whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a free path beside `path` for a file or a folder, which then takes the place of `path`.

    If anything is raised, what was written is removed and `path` stays as it was. Whoever may read new files of this
    user may read this one, unlike those of `tempfile`: caches and results are shared.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".writing-{uuid4().hex}")
    try:
        yield beside
        os.replace(beside, path)
    except BaseException:
        if beside.is_dir():
            shutil.rmtree(beside)
        else:
            beside.unlink(missing_ok=True)
        raise

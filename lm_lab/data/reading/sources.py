"""Where a split comes from: the embedded microworld, a folder in the hub's schema, one file, the hub.

Whatever the source, the result is one table with the columns of the task's form, not checked yet.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from lm_lab.data.reading import classic
from lm_lab.data.reading.checks import check
from lm_lab.data.reading.column_names import renamed
from lm_lab.data.reading.files import FORMATS, read_file
from lm_lab.data.reading.hub_sets import HubSet, hub_set, read_hub
from lm_lab.data.reading.text_rows import TextRows
from lm_lab.data.reading.texts import UTF_8
from lm_lab.errors import UsageError
from lm_lab.tasks import TextTask
from lm_lab.tasks.names import require_split

VALIDATION_SHARE = 0.1  # of a single file
WHOLE = "train and validation"  # of a single file, not divided
_DIVISION_SEED = 0
_REMEDY = (
    "Give --data.source FOLDER or set LM_LAB_DATA to a folder that holds the data, or use --data.source microworld"
)
_ALSO = {"validation": ("val",)}  # SuperGLUE's name for it
_SUPERGLUE = {"boolq": "BoolQ", "cb": "CB"}
Read = tuple[pa.Table, str]


@dataclass(frozen=True)
class Place:
    """Where a task's splits are to be found.

    Args:
        name: of the task, for messages and in the microworld.
        folders: below a data folder, in the order of looking.
        hub: name on the hub.
        subset: its configuration there, if it has several.
        splits: a split of the task -> what it is called in the data, where that is another name.
    """

    name: str
    folders: Sequence[str]
    hub: str
    subset: str | None = None
    splits: Mapping[str, str] = field(default_factory=dict)


def read_table(
    place: Place,
    split: str,
    source: str | None,
    columns: Mapping[str, str] | None = None,
    words: Collection[str] = ("label",),
    encoding: str = UTF_8,
) -> Read:
    """The table of one split, and its origin for messages.

    Args:
        place: where to look.
        split: a split's name in the hub's schema, such as `validation_matched`.
        source: "microworld", "hub", a set of the hub (`hub_set`), a folder, a file, or None: `LM_LAB_DATA` where that
            is set, else the hub. Of a single file, every tenth row or so is `validation` and the rest is `train`,
            always the same ones.
        columns: the form's column -> the name that it has in the data, where that is another one.
        words: the form's columns whose values are what is written in a csv, though they look like numbers.
        encoding: of text files.

    Raises:
        UsageError: the split is not there, cannot be read, or lacks a column that `columns` names.
    """
    source = source or os.environ.get("LM_LAB_DATA") or "hub"
    columns, split = columns or {}, place.splits.get(split, split)
    table, origin = _read(place, split, source, [columns.get(name, name) for name in words], encoding)
    return renamed(table, columns, origin), origin


def read_split(
    task: TextTask,
    split: str,
    source: str | None = None,
    columns: Mapping[str, str] | None = None,
    encoding: str = UTF_8,
    beside: Sequence[str] = (),
    splits: Mapping[str, str] | None = None,
) -> TextRows:
    """The checked rows of one split of a task on texts, with numbers of their words from the columns `beside`.

    Raises:
        UsageError: something is wrong; it names file, row and column.
    """
    source = source or os.environ.get("LM_LAB_DATA") or "hub"
    place = replace(place_of(task), splits=splits or {})
    found = find(place, place.splits.get(split, split), Path(source)) if Path(source).is_dir() else None
    if task.name in classic.LAYOUTS and Path(source).is_dir() and (not found or found.suffix == ".tsv"):
        roots = [Path(source), Path(source) / "glue"]
        if path := classic.find(task.name, split, roots):
            return check(task, classic.read(task, split, path, encoding), str(path), beside=beside)
    return check(task, *read_table(place, split, source, columns, encoding=encoding), beside=beside)


def place_of(task: TextTask) -> Place:
    """Where GLUE's splits are, and those of its kin."""
    if task.name in _SUPERGLUE:
        return superglue(task.name, _SUPERGLUE[task.name])
    if task.name in ("snli", "chnsenticorp"):
        on_hub = {"snli": "stanfordnlp/snli", "chnsenticorp": "lansinuote/ChnSentiCorp"}[task.name]
        return Place(task.name, (task.name,), on_hub)
    return Place(task.name, (f"glue/{task.name}", task.name), "nyu-mll/glue", task.name)


def superglue(name: str, folder: str) -> Place:
    """Where a task of SuperGLUE is: `folder` is its name in the benchmark's own download."""
    return Place(name, (f"super_glue/{name}", name, folder, f"SuperGLUE/{folder}"), "aps/super_glue", name)


def find(place: Place, split: str, root: Path) -> Path | None:
    """The file of a split below `root`: in one of the place's folders, or in `root` itself."""
    folders = [root / folder for folder in (*place.folders, ".")]
    for name in (split, *_ALSO.get(split, ())):
        found = (folder / f"{name}{suffix}" for folder in folders for suffix in FORMATS)
        if path := next((path for path in found if path.is_file()), None):
            return path
    return None


def _read(place: Place, split: str, source: str, words: Collection[str], encoding: str) -> Read:
    if source == "microworld":
        from lm_lab.data import microworld

        return microworld.table(place.name, split), f"microworld {place.name} {split}"
    if wanted := HubSet(place.hub, place.subset) if source == "hub" else hub_set(source):
        return read_hub(wanted, split, _REMEDY)
    require_split(split)
    path = Path(source)
    if path.is_file():
        return _part(read_file(path, words, encoding), path, split), f"{path} ({split})"
    if not path.is_dir():
        raise UsageError(
            f"the data source '{source}' is no folder and no file; give one of these, 'microworld', 'hub' or "
            "'hub:OWNER/NAME' (--data.source), or set LM_LAB_DATA."
        )
    if found := find(place, split, path):
        return read_file(found, words, encoding), str(found)
    raise _no_split(place, split, path)


def _no_split(place: Place, split: str, root: Path) -> UsageError:
    folders = [root / folder for folder in place.folders]
    have = sorted({p.stem for f in folders if f.is_dir() for p in f.iterdir() if p.suffix in FORMATS})
    looked = ", ".join(f"{folder}/{split}{{{','.join(FORMATS)}}}" for folder in (*folders, root))
    classically = f" and GLUE's own {classic.expected(place.name, split)}" if place.name in classic.LAYOUTS else ""
    there = f" Splits that are there: {', '.join(have)}." if have else ""
    return UsageError(f"no split '{split}' of '{place.name}' below '{root}'; looked for {looked}{classically}.{there}")


def _part(table: pa.Table, path: Path, split: str) -> pa.Table:
    """The rows of a single file that belong to a split."""
    if split == WHOLE:
        return table
    if split not in ("train", "validation"):
        raise UsageError(f"{path} is one file, divided into train and validation; it has no split '{split}'.")
    held_out = np.random.default_rng(_DIVISION_SEED).random(table.num_rows) < VALIDATION_SHARE
    return table.filter(pa.array(held_out if split == "validation" else ~held_out))

"""Where a split's rows come from: the embedded microworld, a folder in the hub's schema, GLUE's own layout, the hub.

Whatever the source, the result is one table with the task's text columns, `label` and `idx`, checked.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from lm_lab import hub
from lm_lab.data import classic
from lm_lab.data.checks import TextRows, check
from lm_lab.errors import UsageError
from lm_lab.tasks import TextTask

GLUE_ON_HUB = "nyu-mll/glue"
SNLI_ON_HUB = "stanfordnlp/snli"
_READERS: dict[str, Callable[[Path], pa.Table]] = {}


def read_split(task: TextTask, split: str, source: str | None = None) -> TextRows:
    """The checked rows of one split.

    Args:
        task: the task's row.
        split: a split's name in the hub's schema, such as `validation_matched`.
        source: "microworld", "hub", a folder, or None: `LM_LAB_DATA` where that is set, else the hub.

    Raises:
        UsageError: the split is not there, or a row is wrong: names the file, the row and the column.
    """
    source = source or os.environ.get("LM_LAB_DATA") or "hub"
    if source == "microworld":
        from lm_lab.data import microworld

        return check(task, microworld.table(task.name, split), f"microworld {task.name} {split}")
    if source == "hub":
        return check(task, _from_hub(task, split), f"hub {task.name} {split}")
    if not Path(source).is_dir():
        raise UsageError(
            f"the data source '{source}' is no folder; give a folder, 'microworld' or 'hub' (--data.source), "
            "or set LM_LAB_DATA."
        )
    return check(task, *_from_folder(task, split, Path(source)))


def _from_folder(task: TextTask, split: str, root: Path) -> tuple[pa.Table, str]:
    candidates = [root / "glue" / task.name, root / task.name, root]
    for folder in candidates:
        for suffix, read in _READERS.items():
            if (path := folder / f"{split}{suffix}").is_file():
                return read(path), str(path)
    if classic_path := classic.find(task.name, split, [root, root / "glue"]):
        return classic.read(task, split, classic_path), str(classic_path)
    have = sorted({p.stem for f in candidates[:2] if f.is_dir() for p in f.iterdir() if p.suffix in _READERS})
    raise UsageError(
        f"no split '{split}' of '{task.name}' below '{root}'; looked for {candidates[0]}/{split}"
        f"{{{','.join(_READERS)}}}, the same in {candidates[1]} and {root}, and GLUE's own "
        f"{classic.expected(task.name, split)}. " + (f"Splits that are there: {', '.join(have)}." if have else "")
    )


def _from_hub(task: TextTask, split: str) -> pa.Table:
    import datasets

    name = SNLI_ON_HUB if task.name == "snli" else GLUE_ON_HUB
    subset = None if task.name == "snli" else task.name
    remedy = (
        "Give --data.source FOLDER or set LM_LAB_DATA to a folder that holds the data, or use --data.source microworld"
    )
    try:  # what is in the cache needs no hub
        with _offline():
            return _plain(datasets.load_dataset(name, subset, split=split))
    except (ConnectionError, OSError, ValueError):
        hub.require(name, remedy)
    try:
        return _plain(datasets.load_dataset(name, subset, split=split))
    except (ConnectionError, OSError, ValueError) as error:
        raise UsageError(f"the hub gave no '{task.name}' {split}: {error}. {remedy}.") from error


class _offline:  # noqa: N801
    """Keep `datasets` from asking the hub."""

    def __enter__(self) -> None:
        import datasets

        self.before, datasets.config.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE, True

    def __exit__(self, *_: object) -> None:
        import datasets

        datasets.config.HF_HUB_OFFLINE = self.before


def _plain(dataset: "datasets.Dataset") -> pa.Table:  # type: ignore[name-defined]  # noqa: F821
    return dataset.with_format("arrow")[:]


def _parquet(path: Path) -> pa.Table:
    import pyarrow.parquet

    return pyarrow.parquet.read_table(path)


def _csv(path: Path) -> pa.Table:
    import pyarrow.csv

    return pyarrow.csv.read_csv(path, parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True))


def _json(path: Path) -> pa.Table:
    import pyarrow.json

    return pyarrow.json.read_json(path)


def _clear(read: Callable[[Path], pa.Table]) -> Callable[[Path], pa.Table]:
    def reader(path: Path) -> pa.Table:
        try:
            return read(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise UsageError(f"{path} cannot be read: {error}") from error

    return reader


_READERS |= {".parquet": _clear(_parquet), ".csv": _clear(_csv), ".json": _clear(_json), ".jsonl": _clear(_json)}

"""BLiMP and LAMBADA from a folder, a file or the hub, checked."""

import os
from pathlib import Path

import pyarrow as pa

from lm_lab.data.reading.column_names import require_columns
from lm_lab.data.reading.files import FORMATS, read_file
from lm_lab.errors import UsageError
from lm_lab.scoring.minimal_pairs import Pair

_PAIRS = ("sentence_good", "sentence_bad", "UID", "field")
_HUB = {"blimp": "nyu-mll/blimp", "lambada": "EleutherAI/lambada_openai"}


def minimal_pairs(source: str | None = None, limit: int | None = None) -> list[Pair]:
    """BLiMP's pairs, or those of a file with its columns.

    Args:
        source: a file, or a folder with `blimp/test.parquet`; None: `LM_LAB_DATA` where set, else the hub.
        limit: the first so many pairs of each paradigm.

    Raises:
        UsageError: no such data, or a column that it lacks.
    """
    columns = [_texts(*_table("blimp", source), name) for name in _PAIRS]
    pairs, seen = [], dict[str, int]()
    for pair in map(Pair._make, zip(*columns, strict=True)):
        seen[pair.paradigm] = seen.get(pair.paradigm, 0) + 1
        if limit is None or seen[pair.paradigm] <= limit:
            pairs.append(pair)
    return pairs


def passages(source: str | None = None, limit: int | None = None) -> list[str]:
    """LAMBADA's passages, or those of a file with a column `text`; arguments and errors as of `minimal_pairs`."""
    return _texts(*_table("lambada", source), "text")[:limit]


def _table(name: str, source: str | None) -> tuple[pa.Table, str]:
    """The table, and where it came from."""
    source = source or os.environ.get("LM_LAB_DATA")
    if source is None:
        return _from_hub(name), _HUB[name]
    root = Path(source)
    tried = [root] if root.is_file() else [root / sub / f"test{end}" for sub in (name, ".") for end in FORMATS]
    if found := next((path for path in tried if path.is_file()), None):
        return read_file(found), str(found)
    raise UsageError(f"'{source}' holds no {name}; expected a file, or a folder with {name}/test.parquet.")


def _from_hub(name: str) -> pa.Table:
    from datasets import concatenate_datasets, get_dataset_config_names, load_dataset

    try:
        if name == "lambada":
            return load_dataset(_HUB[name], split="test").data.table
        parts = [load_dataset(_HUB[name], kind, split="train") for kind in get_dataset_config_names(_HUB[name])]
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{_HUB[name]} cannot be read from the hub ({type(error).__name__}); give --source or set LM_LAB_DATA."
        ) from error
    return concatenate_datasets(parts).data.table


def _texts(table: pa.Table, origin: str, name: str) -> list[str]:
    found = require_columns(table, [name], origin)[name].to_pylist()
    for row, value in enumerate(found):
        if not isinstance(value, str) or not value.strip():
            raise UsageError(f"{origin}, row {row}, column '{name}': {value!r:.60}; expected text.")
    if not found:
        raise UsageError(f"{origin} has no rows.")
    return found

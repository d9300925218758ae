"""A cell's predictions, example by example, as parquet: what comparisons are computed from.

DIR/predictions/<id>.parquet split: string, id: int64, prediction: float64, label: float64 (NaN: no label);
                             prediction is a list of float64 where an example adds several counts to a metric
"""

import hashlib
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lm_lab.atomic import replace_file
from lm_lab.errors import UsageError
from lm_lab.results import packed

_ID = re.compile(r"[A-Za-z0-9._-]+")


class Predictions(NamedTuple):
    """One row an example, `n` rows; `prediction` is a class index, a number, or the k counts a metric sums."""

    split: NDArray[np.str_]  # (n,)
    id: NDArray[np.int64]  # (n,)
    prediction: NDArray[np.float64]  # (n,) or (n, k)
    label: NDArray[np.float64]  # (n,), NaN where the example has no label


def write_predictions(root: Path, cell_id: str, predictions: Predictions) -> str:
    """Write a cell's predictions; returns the SHA-256 of their file."""
    content = _parquet(predictions)
    replace_file(_path(root, cell_id), content)
    return hashlib.sha256(content).hexdigest()


def read_predictions(root: Path, cell_id: str, digest: str | None = None) -> Predictions:
    """Return a cell's per-example predictions, packed or not; raises UsageError if they are missing or unreadable.

    With the `digest` of its record nothing is parsed of a file that is not what was written: damaged parquet can ask
    for any amount of memory.
    """
    import pyarrow as pa

    path = _path(root, cell_id)
    try:
        table = None if path.exists() else packed.predictions(root, cell_id)
        return _unpacked(_checked(path, digest) if table is None else table)
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise UsageError(
            f"{path}: no readable predictions ({first:.200}). The suite's command runs this cell again."
        ) from error


def read_table(root: Path, cell_id: str) -> Any:
    """The same as a table of arrow."""
    return _table(read_predictions(root, cell_id))


def has_predictions(root: Path, cell_id: str, digest: str | None) -> bool:
    """True if the predictions of a cell are those that were written: by their hash, or readable where that is None."""
    try:
        read_predictions(root, cell_id, digest)
    except UsageError:
        return False
    return True


def checked_id(cell_id: str) -> str:
    """The id, if it can be a file name; raises UsageError if not."""
    if not _ID.fullmatch(cell_id) or cell_id.startswith("."):
        raise UsageError(f"cell id {cell_id!r} cannot be a file name; expected letters, digits, '.', '_', '-'.")
    return cell_id


def _path(root: Path, cell_id: str) -> Path:
    return root / "predictions" / f"{checked_id(cell_id)}.parquet"


def _checked(path: Path, digest: str | None) -> Any:
    """The table in a file, if it is the one that was written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = path.read_bytes()
    if digest is not None and hashlib.sha256(content).hexdigest() != digest:
        raise ValueError("not what was written")
    # thousands of small files: names of splits as a dictionary, and no read ahead, take half as long
    file = pq.ParquetFile(pa.BufferReader(content), read_dictionary=["split"], pre_buffer=False)
    return file.read(columns=list(Predictions._fields), use_threads=False)


def _unpacked(table: Any) -> Predictions:
    import pyarrow as pa

    counts = pa.types.is_list(table.schema.field("prediction").type)
    named = table["split"].combine_chunks()  # a few names, and a million rows of them
    named = named if pa.types.is_dictionary(named.type) else named.cast(pa.string()).dictionary_encode()
    schema = _schema(counts).remove(0)
    numbers = table.select(schema.names)
    numbers = numbers if numbers.schema.equals(schema) else numbers.cast(schema)
    if any(table[name].null_count for name in ("split", "id", "prediction")):
        raise ValueError("an example has no split, id or prediction")
    columns = {name: numbers[name].to_numpy(zero_copy_only=False) for name in schema.names}
    if counts:
        columns["prediction"] = np.stack(list(columns["prediction"]))
    names = np.array(named.dictionary.to_pylist(), dtype=np.str_)
    return Predictions(**columns, split=names[named.indices.to_numpy()])


def _schema(counts: bool) -> Any:
    import pyarrow as pa

    kept = pa.list_(pa.float64()) if counts else pa.float64()
    return pa.schema([("split", pa.string()), ("id", pa.int64()), ("prediction", kept), ("label", pa.float64())])


def _table(predictions: Predictions) -> Any:
    import pyarrow as pa

    columns = {name: list(values) for name, values in predictions._asdict().items()}
    return pa.table(columns, schema=_schema(predictions.prediction.ndim > 1))


def _parquet(predictions: Predictions) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    pq.write_table(_table(predictions), buffer, compression="zstd")
    content: bytes = buffer.getvalue().to_pybytes()
    return content

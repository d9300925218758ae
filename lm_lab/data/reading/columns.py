"""One column of a data file, read a little at a time: whatever the others hold, it is not looked at."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from lm_lab.data.reading.files import json_column, objects, plain_column
from lm_lab.data.reading.texts import UTF_8, codec, read_lines, read_text
from lm_lab.errors import UsageError

_BATCH = 1024  # rows that are read at a time


def read_texts(path: Path, name: str, encoding: str = UTF_8) -> Iterator[str]:
    """A column of texts; what a null or another type is called names file, row and column."""
    row = 0
    for values in read_column(path, name, encoding):
        yield from _texts(values, row, f"{path}", name)
        row += len(values)


def read_column(path: Path, name: str, encoding: str = UTF_8) -> Iterator[pa.Array]:
    """A column of a data file, a little at a time. Raises `UsageError` if there is none, or it cannot be read."""
    try:
        if path.suffix == ".parquet":
            yield from _parquet(path, name)
        elif path.suffix in (".csv", ".tsv"):
            yield from _csv(path, name, encoding)
        else:
            yield from _json(path, name, encoding)
    except (pa.ArrowException, OSError, UnicodeError) as error:
        hint = " (--data.encoding)" if "UTF" in str(error).upper() else ""
        raise UsageError(f"{path} cannot be read: {' '.join(str(error).split())}{hint}") from error


def _require(name: str, names: Iterable[str], path: Path) -> None:
    names = list(names)
    if name not in names:
        raise UsageError(f"{path} has no column '{name}'; it has {', '.join(names)} (--column).")
    if names.count(name) > 1:
        raise UsageError(f"{path} has two columns '{name}'; rename one.")


def _parquet(path: Path, name: str) -> Iterator[pa.Array]:
    file = pa.parquet.ParquetFile(path)
    _require(name, file.schema_arrow.names, path)
    for batch in file.iter_batches(_BATCH, columns=[name]):
        yield plain_column(batch[name])


def _csv(path: Path, name: str, encoding: str) -> Iterator[pa.Array]:
    """What a csv holds are words; but a column of nothing else than numbers is hardly one of texts."""
    parse = pa.csv.ParseOptions(delimiter="\t" if path.suffix == ".tsv" else ",", newlines_in_values=True)
    read = pa.csv.ReadOptions(encoding="utf8" if codec(encoding) == "utf-8-sig" else encoding)
    with pa.csv.open_csv(path, read_options=read, parse_options=parse) as reader:
        _require(name, reader.schema.names, path)
    kind: pa.DataType | None = pa.null()
    only = pa.csv.ConvertOptions(include_columns=[name], column_types={name: pa.string()})
    with pa.csv.open_csv(path, read_options=read, parse_options=parse, convert_options=only) as reader:
        for batch in reader:
            kind = _number_type(batch[name]) if kind else None
            yield batch[name]
    if kind:
        raise UsageError(f"{path}, column '{name}': expected text, found {kind}.")


def _number_type(values: pa.Array) -> pa.DataType | None:
    for kind in (pa.int64(), pa.float64()):
        try:
            return pc.cast(values, kind).type if len(values) else kind
        except pa.ArrowException:
            continue
    return None


def _json(path: Path, name: str, encoding: str) -> Iterator[pa.Array]:
    """A row a line; a list of all rows, or rows of several lines, are read whole."""
    values, names = list[Any](), dict[str, None]()
    for row in _objects(path, encoding):
        names |= dict.fromkeys(row)
        values.append(row.get(name))
        if len(values) == _BATCH:
            _require(name, names, path)
            yield json_column(values)
            values = []
    if names:
        _require(name, names, path)
    yield json_column(values)


def _objects(path: Path, encoding: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(read_lines(path, encoding)):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            yield row
        elif number:  # the lines above were rows
            raise UsageError(f"{path}, line {number + 1}: expected an object as the lines above it, found {line:.40}")
        else:
            yield from objects(read_text(path, encoding), path)
            return


def _texts(values: pa.Array, first: int, origin: str, name: str) -> Iterator[str]:
    if pa.types.is_null(values.type):
        values = values.cast(pa.string())
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        raise UsageError(f"{origin}, column '{name}': expected text, found {values.type}.")
    if values.null_count:
        row = first + pc.index(pc.is_null(values), True).as_py()
        raise UsageError(f"{origin}, row {row}, column '{name}': no text.")
    for text in values.to_pylist():
        yield text.replace("\t", " ")

"""One data file as a table: parquet, csv, tsv, json, jsonl.

A csv or tsv holds words and no types: a column that `words` names stays as it is written; of another one an empty field
is null, and if there are nothing but numbers they become such. tsv is quoted as csv is; GLUE's own files are not
(`classic`).

A json file holds an object a row, on lines of their own or in a list. A column of values of several kinds, which has no
type in a table, is one of words where all are words, numbers or booleans, else one of bytes that no reader takes, so
columns that nobody reads may hold anything.
"""

import csv
import io
import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from lm_lab.data.reading.labels import word
from lm_lab.data.reading.texts import UTF_8, read_text
from lm_lab.errors import UsageError

FORMATS = (".parquet", ".csv", ".tsv", ".json", ".jsonl")
_SPACE = re.compile(r"\s*")
_SCALARS = (str, bool, int, float, type(None))


def read_file(path: Path, words: Collection[str] = (), encoding: str = UTF_8) -> pa.Table:
    """The table in a file.

    Args:
        path: what it ends in says what it holds.
        words: the columns of a csv or tsv whose values are what is written, though they look like numbers.
        encoding: of text files.

    Raises:
        UsageError: another kind of file, one that cannot be read, or a name that two columns have.
    """
    if path.suffix not in FORMATS:
        raise UsageError(f"{path}: a data file ends in {', '.join(FORMATS)}.")
    try:
        if path.suffix == ".parquet":
            return plain(pa.parquet.ParquetFile(path).read(), str(path))
        text = read_text(path, encoding)
        if path.suffix in (".json", ".jsonl"):
            return json_table(objects(text, path))
        return _csv(text, "\t" if path.suffix == ".tsv" else ",", words, path)
    except (pa.ArrowException, OSError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def plain(table: pa.Table, origin: str) -> pa.Table:
    """A table whose categories, views and lists of fixed size are ordinary columns."""
    if len(set(table.column_names)) < table.num_columns:
        again = next(name for name in table.column_names if table.column_names.count(name) > 1)
        raise UsageError(f"{origin} has two columns '{again}'; rename one.")
    for place, name in enumerate(table.column_names):
        table = table.set_column(place, name, plain_column(table[name]))
    return table


def plain_column(column: Any) -> Any:
    """A column (or an array) with the ordinary type of its values."""
    wanted = _plain_type(column.type)
    if wanted == column.type:
        return column
    try:
        return column.cast(wanted)
    except pa.ArrowException:  # nested ones have no cast
        values = pa.array(column.to_pylist(), wanted)
        return pa.chunked_array([values]) if isinstance(column, pa.ChunkedArray) else values


def _plain_type(kind: pa.DataType) -> pa.DataType:
    is_ = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return _plain_type(kind.storage_type)
    if is_.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if is_.is_string_view(kind):
        return pa.large_string()
    if is_.is_list(kind) or is_.is_large_list(kind):
        item = _plain_type(kind.value_type)
        return kind if item == kind.value_type else pa.large_list(item)
    if is_.is_fixed_size_list(kind) or is_.is_list_view(kind) or is_.is_large_list_view(kind):
        return pa.large_list(_plain_type(kind.value_type))
    if is_.is_struct(kind):
        fields = [pa.field(field.name, _plain_type(field.type)) for field in kind]
        return kind if all(a.type == b.type for a, b in zip(fields, kind, strict=True)) else pa.struct(fields)
    return kind


def _csv(text: str, separator: str, words: Collection[str], path: Path) -> pa.Table:
    names = next(csv.reader(io.StringIO(text.lstrip("\r\n")), delimiter=separator), [])
    table = pa.csv.read_csv(
        io.BytesIO(text.encode()),
        parse_options=pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )
    for place, name in enumerate(table.column_names):
        if name not in words:
            table = table.set_column(place, name, _numbers(table.column(place)))
    return plain(table, str(path))


def _numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of strings with null for empty ones, as numbers if that is all it holds."""
    column = column.cast(pa.string())
    column = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
    if column.null_count == len(column):
        return column
    for kind in (pa.int64(), pa.float64()):
        try:
            return pc.cast(column, kind)
        except pa.ArrowException:
            continue
    return column


def objects(text: str, path: Path) -> list[dict[str, Any]]:
    """The rows of a json file. Raises `UsageError` if it holds anything but objects."""
    decoder, place, rows = json.JSONDecoder(), 0, list[Any]()
    try:
        while (place := _SPACE.match(text, place).end()) < len(text):  # type: ignore[union-attr]
            value, place = decoder.raw_decode(text, place)
            rows.append(value)
    except (ValueError, RecursionError) as error:
        line = text.count("\n", 0, getattr(error, "pos", place)) + 1
        raise UsageError(f"{path}, line {line} cannot be read: {str(error).split(':')[0]}.") from error
    rows = rows[0] if len(rows) == 1 and isinstance(rows[0], list) else rows
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise UsageError(f"{path}, row {number}: expected an object with a name for each value, found {row!r:.40}.")
    return rows


def json_table(rows: list[dict[str, Any]]) -> pa.Table:
    """Objects as a table; what one lacks is null."""
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: json_column([row.get(name) for row in rows]) for name in names})


def json_column(values: list[Any]) -> pa.Array:
    """Values of json as a column."""
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, UnicodeError, ValueError):
        pass
    try:
        if all(isinstance(value, _SCALARS) for value in values):
            return pa.array([word(value) for value in values], pa.string())
    except (UnicodeError, ValueError):  # half a surrogate pair, a number of thousands of digits
        pass
    return pa.array([json.dumps(value).encode() for value in values], pa.binary())

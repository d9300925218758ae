"""Rows of csv, tsv, jsonl and parquet files, read and written some at a time."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lm_lab.errors import UsageError

Row = dict[str, Any]
Write = Callable[[list[Row]], None]
READ = WRITTEN = (".csv", ".tsv", ".jsonl", ".parquet")
BLOCK = 4096  # rows
_TAB = {".csv": ",", ".tsv": "\t"}


def blocks(path: Path, lined: Sequence[str] = ()) -> Iterator[list[Row]]:
    """The rows of a file, in lists of 4,096 or fewer; values of csv and tsv files are what is written there.

    Args:
        path: what is read.
        lined: names for the texts of a line, of a file that has no columns.

    Raises:
        UsageError: no such file, or one that is damaged.
    """
    try:
        rows = _rows(path, lined)
        while block := list(islice(rows, BLOCK)):
            yield block
    except (OSError, UnicodeError, pa.ArrowException, csv.Error) as error:
        raise UsageError(f"{path} cannot be read: {' '.join(str(error).split())}.") from error


def _rows(path: Path, lined: Sequence[str]) -> Iterator[Row]:
    if path.suffix == ".parquet":
        for batch in pq.ParquetFile(path).iter_batches(BLOCK):
            yield from batch.to_pylist()
        return
    with path.open(encoding="utf-8-sig", newline="" if path.suffix in _TAB else None) as stream:
        if path.suffix in _TAB:
            yield from _table(path, csv.reader(stream, delimiter=_TAB[path.suffix], strict=True))
        elif path.suffix == ".jsonl":
            yield from (_object(path, number, line) for number, line in enumerate(stream) if line.strip())
        else:
            lines = ((number, line.rstrip("\r\n")) for number, line in enumerate(stream) if line.strip())
            yield from (_line(path, number, line, lined) for number, line in lines)


def _table(path: Path, reader: Iterator[list[str]]) -> Iterator[Row]:
    names = next(reader, [])
    if len(set(names)) < len(names):
        raise UsageError(f"{path} has a column twice: {', '.join(names)}.")
    for number, values in enumerate(reader):
        if values:
            if len(values) != len(names):
                raise UsageError(f"{path}, row {number}: {len(values)} values for {len(names)} columns.")
            yield dict(zip(names, values, strict=True))


def _object(path: Path, number: int, line: str) -> Row:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise UsageError(f"{path}, line {number + 1}: expected an object, found {line.strip():.40}.")
    return row


def _line(path: Path, number: int, line: str, names: Sequence[str]) -> Row:
    texts = line.split("\t")
    if len(texts) != len(names):
        raise UsageError(
            f"{path}, line {number + 1}: {len(texts)} texts, but this task needs {len(names)} ({', '.join(names)}), "
            "separated by a tab; options of a question want a csv, jsonl or parquet file."
        )
    return dict(zip(names, texts, strict=True))


@contextmanager
def writer(path: Path, suffix: str) -> Iterator[Write]:
    """What writes rows to a file whose form is `suffix`; a dictionary is a column a key where the form is a table."""
    if suffix == ".parquet":
        with _Parquet(path) as table:
            yield table.write
        return
    with path.open("w", encoding="utf-8", newline="") as stream:
        if suffix == ".jsonl":
            yield lambda rows: stream.writelines(
                json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows
            )
            return
        table_ = csv.writer(stream, delimiter=_TAB[suffix], lineterminator="\n")
        names: list[str] = []

        def write(rows: list[Row]) -> None:
            flat = [_flat(row) for row in rows]
            if not names:
                names.extend(flat[0])
                table_.writerow(names)
            for row in flat:
                if row.keys() - set(names):
                    raise UsageError(f"rows have other columns than the first: {', '.join(row)}; write jsonl.")
                table_.writerow([_cell(row.get(name)) for name in names])

        yield write


class _Parquet:
    """A file of the columns that the first rows have."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: pq.ParquetWriter | None = None

    def __enter__(self) -> "_Parquet":
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            self.file.close()

    def write(self, rows: list[Row]) -> None:
        """Add rows. Raises `UsageError` for columns of another type than the first ones have."""
        flat = [_flat(row) for row in rows]
        if self.file is None:
            first = pa.Table.from_pylist(flat)
            self.file = pq.ParquetWriter(self.path, first.schema)
        try:
            self.file.write_table(pa.Table.from_pylist(flat, schema=self.file.schema))
        except (pa.ArrowException, TypeError) as error:
            raise UsageError(f"rows are not all of one type ({' '.join(str(error).split())}); write jsonl.") from error


def _flat(row: Row) -> Row:
    """`probabilities` of classes as a column each: `probability_good`."""
    shares = row.get("probabilities")
    if not isinstance(shares, dict):
        return row
    rest = {name: value for name, value in row.items() if name != "probabilities"}
    return rest | {f"probability_{name}": value for name, value in shares.items()}


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value

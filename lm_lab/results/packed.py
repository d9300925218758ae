"""The packed form of a run: its records in one file and its predictions in another, for an archive or a repository.

    DIR/records.parquet      id: string; record: string, the JSON of `cells/<id>.json`
    DIR/predictions.parquet  cell, split: string; id: int64; label: float64 (NaN: no label);
                             prediction: float64, or counts: list of float64, of which one is null

`packing.py` writes it and takes it apart; whatever reads a run reads both forms, a cell's own file first.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from lm_lab.atomic import replacing
from lm_lab.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

RECORDS, PREDICTIONS = "records.parquet", "predictions.parquet"


def records(root: Path) -> Mapping[str, str]:
    """The JSON of every record, by cell id; none where the run is not packed. Raises `UsageError` if it is damaged."""
    if not (path := root / RECORDS).is_file():
        return {}
    table = _read(path)
    return dict(zip(table["id"].to_pylist(), table["record"].to_pylist(), strict=True))


def predictions(root: Path, cell_id: str) -> "pa.Table | None":
    """Rows of one cell with `split`, `id`, `label` and `prediction`; None where there are none.

    Raises:
        UsageError: the file is damaged.
    """
    if not (path := root / PREDICTIONS).is_file():
        return None
    found = path.stat()
    rows = _by_cell(path, found.st_mtime_ns, found.st_size).get(cell_id)
    if rows is None:
        return None
    kept = rows["counts"] if rows["prediction"].null_count else rows["prediction"]
    return rows.select(["split", "id", "label"]).append_column("prediction", kept)


def write(root: Path, texts: Mapping[str, str], tables: Iterator[tuple[str, "pa.Table"]]) -> None:
    """Write both files: the records' JSON by id, and each cell's id with its predictions."""
    import pyarrow as pa

    _write(root / RECORDS, pa.table({"id": list(texts), "record": list(texts.values())}))
    _write(root / PREDICTIONS, pa.concat_tables([_rows(*pair) for pair in tables] or [_schema().empty_table()]))


def _rows(cell_id: str, table: "pa.Table") -> "pa.Table":
    import pyarrow as pa

    counted = pa.types.is_list(table.schema.field("prediction").type)
    name, other = ("counts", "prediction") if counted else ("prediction", "counts")
    columns = {part: table[part] for part in ("split", "id", "label")}
    columns |= {"cell": pa.repeat(cell_id, len(table)), name: table["prediction"]}
    columns[other] = pa.nulls(len(table), _schema().field(other).type)
    return pa.table({field.name: columns[field.name] for field in _schema()}, schema=_schema())


def _schema() -> "pa.Schema":
    import pyarrow as pa

    number = pa.float64()
    kinds = {"cell": pa.string(), "split": pa.string(), "id": pa.int64(), "label": number, "prediction": number}
    return pa.schema(list({**kinds, "counts": pa.list_(number)}.items()))


def _write(path: Path, table: "pa.Table") -> None:
    import pyarrow.parquet as pq

    with replacing(path) as beside:
        pq.write_table(table, beside, compression="zstd", compression_level=19, write_page_checksum=True)


def _read(path: Path) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise UsageError(f"{path}: damaged ({first:.200}). Take it from where it came again.") from error


@lru_cache(maxsize=2)
def _by_cell(path: Path, *_: int) -> "dict[str, pa.Table]":
    """Each cell's rows, which stand together; read again when the file's time or size is another."""
    import pyarrow.compute as pc

    table = _read(path)
    runs = pc.run_end_encode(table["cell"].combine_chunks())
    ends = runs.run_ends.to_pylist()
    begins = zip(runs.values.to_pylist(), [0, *ends], ends, strict=False)
    return {cell: table.slice(begin, end - begin) for cell, begin, end in begins}

"""A suite's results as Arrow tables, for pandas, polars or a notebook: the rows of the two CSV files."""

from pathlib import Path
from typing import TYPE_CHECKING

from lm_lab.report.table import all_points, cell_row, point_row
from lm_lab.results.records import read_records, read_suite

if TYPE_CHECKING:
    import pyarrow as pa


def points_table(root: str | Path) -> "pa.Table":
    """A row a point: means over seeds with their interval, tuned values, parameters, seconds and bytes.

    Raises:
        UsageError: `root` holds no results.
    """
    import pyarrow as pa

    points = all_points(read_records(Path(root)), read_suite(Path(root)))
    return pa.Table.from_pylist([point_row(point) for point in points])


def cells_table(root: str | Path) -> "pa.Table":
    """A row a cell, failed ones included; errors as of `points_table`."""
    import pyarrow as pa

    read_suite(Path(root))
    rows = [cell_row(record) for record in read_records(Path(root))]
    names = dict.fromkeys(name for row in rows for name in row)  # another strategy has other sizes
    return pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows])

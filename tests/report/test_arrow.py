"""Results as Arrow tables are the rows of the CSV files."""

import csv
import io
from pathlib import Path

import pytest

from lm_lab.errors import UsageError
from lm_lab.report.arrow import cells_table, points_table
from lm_lab.report.table import cells_csv, results_csv
from lm_lab.results.records import read_records


def test_tables_hold_the_rows_of_the_csv_files(finished: Path, points: list) -> None:
    rows = list(csv.DictReader(io.StringIO(results_csv(points))))
    table = points_table(finished)
    assert table.column_names == list(rows[0])
    assert table.num_rows == len(rows)
    assert [str(value) for value in table["mean"].to_pylist()] == [row["mean"] for row in rows]
    assert table["trained"].to_pylist() == pytest.approx([float(row["trained"]) for row in rows], nan_ok=True)
    cells = list(csv.DictReader(io.StringIO(cells_csv(read_records(finished)))))
    assert cells_table(finished)["id"].to_pylist() == [row["id"] for row in cells]


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    for table in (points_table, cells_table):
        with pytest.raises(UsageError, match=r"no suite.json here"):
            table(tmp_path)

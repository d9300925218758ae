"""Reads and writes the record of one benchmark cell: a JSON file, and its predictions as parquet.

A cell is done when its JSON exists, so the JSON is written last and atomically: a run that is killed at any
moment leaves a whole record or none. Nothing else is kept about a cell; every table and figure is computed
from these files alone.

    DIR/suite.json               the resolved suite
    DIR/cells/<id>.json          CellRecord
    DIR/predictions/<id>.parquet split: string, id: int64, prediction: float64, label: float64 (NaN: no label);
                                 prediction is a list of float64 where an example adds several counts to a metric
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from lm_lab.atomic import replacing
from lm_lab.errors import UsageError

SCHEMA = 1
OWN_SPLITS = ("validation", "selection")
_ID = re.compile(r"[A-Za-z0-9._-]+")


class Cell(TypedDict):
    """The coordinates of one training run in the grid."""

    backbone: str
    strategy: str
    knob: str | None  # what `size` counts: "rank", "bottleneck", "layers"; None for a strategy without a knob
    size: int | float | None
    task: str
    tuned: dict[str, Any]  # the settings that are selected, for example {"learning_rate": 1e-3}
    seed: int
    control: bool  # a backbone with random weights, kept to show what pretraining is worth


class CellRecord(TypedDict, total=False):
    """Everything that is known about one cell; a cell that failed has no scores, clocks or memory."""

    schema: int
    id: str
    suite: str
    status: Literal["done", "failed", "diverged"]
    reason: str | None
    traceback: str | None
    cell: Cell
    config: dict[str, Any]
    fingerprints: dict[str, str]
    scores: dict[str, dict[str, float]]  # split -> metric -> value
    score: dict[str, float]  # split -> mean of the task's metrics
    details: dict[str, dict[str, float]]  # split -> what the task reports beside its metrics; most report nothing
    ledger: dict[str, int]  # parameter counts, and delta_bytes
    layer_weights: list[float]  # what a mix of layers gives to each; empty where one layer is read
    clocks: dict[str, float]  # seconds; steps and examples are counts
    memory: dict[str, Any]
    history: list[dict[str, float]]
    versions: dict[str, str]
    git: dict[str, Any]
    hardware: dict[str, Any]
    started: str
    command: str


class Baseline(TypedDict):
    """A task's trivial answer: what it is, its mean score on the validation splits, the fingerprint of the data."""

    what: str
    score: float
    data: str


class Predictions(NamedTuple):
    """One row an example, `n` rows; `prediction` is a class index, a number, or the k counts a metric sums."""

    split: NDArray[np.str_]  # (n,)
    id: NDArray[np.int64]  # (n,)
    prediction: NDArray[np.float64]  # (n,) or (n, k)
    label: NDArray[np.float64]  # (n,), NaN where the example has no label


class Scan(NamedTuple):
    """What a results folder holds: the records that can be read, and a line for each one that cannot."""

    records: list[CellRecord]
    broken: list[str]


def domains_of(record: CellRecord) -> list[str]:
    """Splits of other domains that a cell was evaluated on, beside its task's own."""
    return [split for split in record.get("scores", {}) if split not in OWN_SPLITS]


def write_record(root: Path, record: CellRecord, predictions: Predictions | None = None) -> Path:
    """Write the predictions, then the record; both appear whole or not at all.

    Returns the path of the JSON file. Raises UsageError if the record's id cannot be a file name.
    """
    name = _checked_id(record["id"])
    if predictions is not None:
        _write_predictions(root / "predictions" / f"{name}.parquet", predictions)
    path = root / "cells" / f"{name}.json"
    _replace(path, json.dumps(record, indent=1, sort_keys=True).encode())
    return path


def read_record(root: Path, cell_id: str) -> CellRecord | None:
    """Return the record of one cell, or None when there is none that can be read (the cell is to be run)."""
    path = root / "cells" / f"{_checked_id(cell_id)}.json"
    return None if not path.exists() else _load(path)[0]


def scan(root: Path) -> Scan:
    """Read every record under `root`, in the order of their cells; an unreadable file becomes a line."""
    records, broken = [], []
    for path in sorted((root / "cells").glob("*.json")):
        record, problem = _load(path)
        if record is None:
            broken.append(f"{path}: {problem}")
        else:
            records.append(record)
    return Scan(sorted(records, key=_order), broken)


def read_records(root: Path) -> list[CellRecord]:
    """Return the readable records under `root`; `scan` also tells which files are broken."""
    return scan(root).records


def read_predictions(root: Path, cell_id: str) -> Predictions:
    """Return a cell's per-example predictions; raises UsageError if the file is missing or unreadable."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = root / "predictions" / f"{_checked_id(cell_id)}.parquet"
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise UsageError(
            f"{path}: no readable predictions ({error}). Delete cells/{cell_id}.json to run this cell again."
        ) from error
    columns = {name: table[name].to_numpy(zero_copy_only=False) for name in Predictions._fields}
    if pa.types.is_list(table["prediction"].type):
        columns["prediction"] = np.stack(list(columns["prediction"]))
    return Predictions(**{**columns, "split": columns["split"].astype(str)})


def read_suite(root: Path) -> dict[str, Any]:
    """Return `suite.json`; raises UsageError if `root` holds no results."""
    path = root / "suite.json"
    try:
        suite: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UsageError(
            f"{root}: no suite.json here. Give the folder that `lm-lab bench run` wrote its results to."
        ) from error
    except ValueError as error:
        raise UsageError(f"{path}: not valid JSON ({error}). Run the suite again to rewrite it.") from error
    return suite


def read_baselines(root: Path) -> dict[str, Baseline]:
    """Return the baseline of each task, from `baselines.json`; none where there is no such file."""
    path = root / "baselines.json"
    return json.loads(path.read_text()) if path.exists() else {}


def save_baselines(root: Path, found: Mapping[str, Baseline]) -> None:
    """Write `baselines.json`."""
    _replace(root / "baselines.json", (json.dumps(found, indent=1) + "\n").encode())


def _load(path: Path) -> tuple[CellRecord | None, str]:
    try:
        record = json.loads(path.read_text())
    except (ValueError, OSError) as error:
        return None, f"cannot be read ({error})"
    if not isinstance(record, Mapping) or not {"id", "cell", "status"} <= record.keys():
        return None, "not a cell record (no id, cell or status)"
    if record.get("schema") != SCHEMA:
        return None, f"schema {record.get('schema')!r}, this version reads {SCHEMA}"
    loaded: CellRecord = record  # type: ignore[assignment]
    return loaded, ""


def _order(record: CellRecord) -> tuple[Any, ...]:
    cell = record["cell"]
    tuned = json.dumps(cell["tuned"], sort_keys=True)
    return cell["backbone"], cell["strategy"], cell["size"] or 0, cell["task"], tuned, cell["seed"]


def _checked_id(cell_id: str) -> str:
    if not _ID.fullmatch(cell_id) or cell_id.startswith("."):
        raise UsageError(f"cell id {cell_id!r} cannot be a file name; expected letters, digits, '.', '_', '-'.")
    return cell_id


def _write_predictions(path: Path, predictions: Predictions) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kept = pa.float64() if predictions.prediction.ndim == 1 else pa.list_(pa.float64())
    schema = pa.schema([("split", pa.string()), ("id", pa.int64()), ("prediction", kept), ("label", pa.float64())])
    columns = {name: list(values) for name, values in predictions._asdict().items()}
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, schema=schema), buffer, compression="zstd")
    _replace(path, buffer.getvalue().to_pybytes())


def _replace(path: Path, content: bytes) -> None:
    """Write, flush to disk, then rename: readers see the old file or the whole new one, after a power cut too."""
    with replacing(path) as beside, open(beside, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())

"""Reads and writes the record of one benchmark cell: a JSON file, and its predictions as parquet.

A cell is done when its JSON exists, so the JSON is written last and atomically: a run that is killed at any
moment leaves a whole record or none. Nothing else is kept about a cell; every table and figure is computed
from these files alone.

    DIR/suite.json               the resolved suite
    DIR/cells/<id>.json          CellRecord
    DIR/predictions/<id>.parquet see `predictions.py`

A run that is over can be packed into two files, which are read in the same way: see `packed.py`.
"""

import gc
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict

import orjson

from lm_lab.atomic import replace_file
from lm_lab.errors import UsageError
from lm_lab.results import packed
from lm_lab.results.checks import baselines_fault, fault, suite_fault
from lm_lab.results.coordinates import STRATEGY, TASK, Cell, coordinates
from lm_lab.results.predictions import Predictions, checked_id, write_predictions
from lm_lab.results.upgrading import upgraded

SCHEMA = 2
AVERAGE = "average"  # in the place of a task: the mean over the tasks
OWN_SPLITS = ("validation", "selection")


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
    predictions: str  # SHA-256 of their file
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
    packed_with: list[str]  # ids of the cells that trained in the same pass: its clocks and memory are shares
    apart: str  # why a job of several cells trained each alone
    started: str
    command: str


class Baseline(TypedDict):
    """A task's trivial answer: what it is, its mean score on the validation splits, the fingerprint of the data."""

    what: str
    score: float
    data: str


class Scan(NamedTuple):
    """What a results folder holds: the records that can be read, and a line for each one that cannot."""

    records: list[CellRecord]
    broken: list[str]


def domains_of(record: CellRecord) -> list[str]:
    """Splits of other domains that a cell was evaluated on, beside its task's own."""
    return [split for split in record.get("scores", {}) if split not in OWN_SPLITS]


def write_record(root: Path, record: CellRecord, predictions: Predictions | None = None) -> Path:
    """Write the predictions, then the record; both appear whole or not at all.

    Returns the path of the JSON file; the record gets the hash of its predictions. Raises UsageError if the record's id
    cannot be a file name.
    """
    name = checked_id(record["id"])
    if predictions is not None:
        record["predictions"] = write_predictions(root, name, predictions)
    path = root / "cells" / f"{name}.json"
    replace_file(path, json.dumps(record, indent=1, sort_keys=True).encode())
    return path


def read_record(root: Path, cell_id: str) -> CellRecord | None:
    """Return the record of one cell, or None when there is none that can be read (the cell is to be run)."""
    path = root / "cells" / f"{checked_id(cell_id)}.json"
    return None if not path.exists() else _load(path)[0]


def scan(root: Path) -> Scan:
    """Read every record under `root`, packed or not, in the order of their cells; an unreadable file becomes a line."""
    with _uncollected():
        return _scan(root)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Records hold no cycles; looking for some again and again takes as long as reading thousands of them."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _scan(root: Path) -> Scan:
    records, broken = _scan_packed(root)
    for path in sorted((root / "cells").glob("*.json")):
        record, problem = _load(path)
        if record is None:
            broken.append(f"{path}: {problem}")
        else:
            records[path.stem] = record
    baselines, problem = _json(root / "baselines.json")
    if (root / "baselines.json").exists() and (problem := problem or baselines_fault(baselines) or ""):
        broken.append(f"{root / 'baselines.json'}: {problem}")
    return Scan(sorted(records.values(), key=_order), broken)


def read_records(root: Path) -> list[CellRecord]:
    """Return the readable records under `root`; `scan` also tells which files are broken."""
    return scan(root).records


def read_suite(root: Path) -> dict[str, Any]:
    """Return `suite.json`; raises UsageError if `root` holds no results."""
    path = root / "suite.json"
    if not path.is_file():
        raise UsageError(f"{root}: no suite.json here. Give the folder that `lm-lab bench run` wrote its results to.")
    suite, problem = _json(path)
    if problem := problem or suite_fault(suite) or "":
        raise UsageError(f"{path}: damaged ({problem}). The suite's command writes it again.")
    found: dict[str, Any] = suite
    return found


def read_baselines(root: Path) -> dict[str, Baseline]:
    """Return the baseline of each task, from `baselines.json`; none where there is no such file, or a damaged one."""
    found, problem = _json(root / "baselines.json")
    return {} if problem or baselines_fault(found) else found


def save_baselines(root: Path, found: Mapping[str, Baseline]) -> None:
    """Write `baselines.json`."""
    replace_file(root / "baselines.json", (json.dumps(found, indent=1) + "\n").encode())


def _json(path: Path) -> tuple[Any, str]:
    """What a file holds, or why it cannot be read."""
    try:
        return _parsed(path.read_bytes()), ""
    except (ValueError, OSError, RecursionError) as error:
        return None, f"cannot be read ({error})"


def _parsed(content: bytes | str) -> Any:
    """What a JSON text says: four times as fast for what is JSON to the letter, and Python's errors for what is not."""
    try:
        return orjson.loads(content)
    except ValueError:  # NaN, numbers of more than 64 bits and damage among it
        return json.loads(content if isinstance(content, str) else content.decode("utf-8"))


def _load(path: Path) -> tuple[CellRecord | None, str]:
    record, problem = _json(path)
    record = upgraded(record)
    problem = problem or fault(record, SCHEMA, path.stem) or ""
    return (None if problem else record), problem


def _scan_packed(root: Path) -> tuple[dict[str, CellRecord], list[str]]:
    try:
        found = {name: upgraded(_parsed(text)) for name, text in packed.records(root).items()}
    except (UsageError, ValueError, RecursionError) as error:
        return {}, [f"{root / packed.RECORDS}: cannot be read ({error})"]
    faults = {name: problem for name, record in found.items() if (problem := fault(record, SCHEMA, name))}
    broken = [f"{root / packed.RECORDS}, cell {name}: {problem}" for name, problem in faults.items()]
    return {name: record for name, record in found.items() if name not in faults}, broken


def _order(record: CellRecord) -> tuple[Any, ...]:
    cell, at = record["cell"], coordinates(record["cell"])
    tuned, others = json.dumps(cell["tuned"], sort_keys=True), at.line.without(STRATEGY, TASK).words
    return at.backbone, at[STRATEGY], at.size or 0, at[TASK], others, tuned, cell["seed"]

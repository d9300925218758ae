"""Reads records that an earlier version wrote. What was measured stays as it was; only where it stands is said anew."""

from collections.abc import Mapping
from typing import Any

_CELL_1 = {"backbone", "strategy", "task", "knob", "size", "tuned", "seed", "control"}


def upgraded(record: Any) -> Any:
    """A record of schema 1, whose cell had a field for each axis, in schema 2; any other value as it is."""
    if not isinstance(record, Mapping) or record.get("schema") != 1:
        return record
    cell = record.get("cell")
    if not isinstance(cell, Mapping) or set(cell) != _CELL_1:
        return record
    at = {axis: cell[axis] for axis in ("backbone", "strategy", "task")}
    sized = isinstance(cell["knob"], str) and cell["size"] is not None
    at |= {cell["knob"]: cell["size"]} if sized else {}
    rest = {name: cell[name] for name in ("tuned", "seed", "control")}
    return {**record, "schema": 2, "cell": {"coordinates": at, "knob": cell["knob"], **rest}}

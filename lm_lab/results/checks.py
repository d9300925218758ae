"""Whether a file of results holds what its readers take for granted; what does not is left out of a report, by name."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from lm_lab.results.coordinates import NAMED

Check = Callable[[Any], bool]
_LARGEST = 10**300
STATUSES = ("done", "failed", "diverged")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    if type(value) is float:  # by far the most; ten thousand records hold millions
        return math.isfinite(value)
    return (_whole(value) and abs(value) < _LARGEST) or (isinstance(value, float) and math.isfinite(value))


def _count(value: Any) -> bool:
    """A number of something, seconds and bytes too; figures draw them on logarithmic axes."""
    return _number(value) and 0 <= value < 1e18


def _score(value: Any) -> bool:
    """A fraction, or a correlation."""
    return _number(value) and -1.001 <= value <= 1.001


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _each(check: Check, *needed: str) -> Check:
    """A mapping whose values all pass, with the names that are needed among them."""
    names = frozenset(needed)
    return lambda value: isinstance(value, Mapping) and names <= value.keys() and all(map(check, value.values()))


def _list(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | bool) or _number(value)


def _value(value: Any) -> bool:
    return isinstance(value, str) or _number(value)


def _steps(rows: list[Mapping[str, Any]]) -> bool:
    """The greater part of a record: what is common is told by types alone."""
    values = [value for row in rows for value in row.values()]
    usual = set(map(type, values)) <= {int, float} and all(-1e300 < value < 1e300 for value in values)
    return usual and all(0 <= row["step"] < 1e18 for row in rows)


_NEEDED, _PLACE = {"step", "loss"}, _each(_value, *NAMED)
_CELL: dict[str, Check] = {
    "coordinates": lambda at: _PLACE(at) and all(_text(at[axis]) for axis in NAMED),
    "knob": _or_none(_text),
    "tuned": _each(_scalar),
    "seed": _whole,
    "control": lambda value: isinstance(value, bool),
}
_RACE = {"race": lambda value: _number(value) and 0 < value < 1}
_OPTIONAL: dict[str, Check] = {
    **dict.fromkeys(("reason", "traceback"), _or_none(_text)),
    **dict.fromkeys(("suite", "started", "command", "predictions", "apart"), _text),
    "config": _each(lambda _: True),
    **dict.fromkeys(("git", "memory"), _each(_scalar)),
    "hardware": lambda value: _each(_scalar)(value) and _or_none(_number)(value.get("memory_bytes")),
    **dict.fromkeys(("fingerprints", "versions"), _each(_text)),
    "scores": _each(_each(_score)),
    "details": _each(_each(_number)),
    "score": _each(_score),
    **dict.fromkeys(("ledger", "clocks"), _each(_count)),
    "layer_weights": _list(_number),
    "packed_with": _list(_text),
    "history": lambda rows: (
        _list(lambda row: isinstance(row, Mapping) and row.keys() >= _NEEDED)(rows) and _steps(rows)
    ),
}
_DONE: dict[str, Check] = {
    "score": _each(_score, "validation"),
    "scores": _each(_each(_score), "validation"),
    "ledger": _each(_count, "trained", "head", "total", "delta_bytes"),
    "clocks": _each(_count, "train_seconds", "total_seconds"),
    "memory": lambda value: isinstance(value, Mapping) and _count(value.get("train_peak_bytes")),
}
_RACED = _DONE | {"score": _each(_score, "selection"), "scores": _each(_each(_score), "selection")}


def fault(record: Any, schema: int, name: str) -> str | None:
    """What is wrong with the record in the file `name`.json, if anything is."""
    if not isinstance(record, Mapping) or not {"id", "cell", "status"} <= record.keys():
        return "not a cell record (no id, cell or status)"
    if record.get("schema") != schema:
        return f"schema {record.get('schema')!r:.40}, this version reads {schema}"
    if record["id"] != name:
        return f"it is the record of {record['id']!r:.40}, not of {name!r}"
    if record["status"] not in STATUSES:
        return f"its status is {record['status']!r:.40}, none of {', '.join(STATUSES)}"
    cell = record["cell"]
    if not isinstance(cell, Mapping) or set(cell) - {*_CELL, *_RACE}:
        return f"its cell is damaged: {cell!r:.60}"
    if wrong := _wrong(cell, _CELL, needed=True) or _wrong(cell, _RACE, needed=False):
        return f"its cell is damaged: {wrong}"
    if cell["knob"] is not None and not _number(cell["coordinates"].get(cell["knob"])):
        return f"its cell is damaged: {cell['knob']:.40} is no number"
    needed = {} if record["status"] != "done" else _RACED if "race" in cell else _DONE
    if wrong := _wrong(record, needed, needed=True) or _wrong(record, _OPTIONAL, needed=False):
        return f"it is damaged: {wrong}"
    scores = record.get("scores", {})
    if scores.keys() != record.get("score", {}).keys() or not all(scores.values()):
        return "it is damaged: score and scores are of other splits, or of none"
    return None


def suite_fault(suite: Any) -> str | None:
    """What is wrong with a `suite.json`, if anything is."""
    if not isinstance(suite, Mapping):
        return "no mapping"
    checks: dict[str, Check] = {
        "name": _text,
        "description": _text,
        "seeds": _list(_whole),
        "planned_cells": lambda value: _whole(value) and _count(value),
        **_RACE,
    }
    return _wrong(suite, checks, needed=False) or (None if "name" in suite else "no name")


def baselines_fault(found: Any) -> str | None:
    """What is wrong with a `baselines.json`, if anything is."""
    checks: dict[str, Check] = {"what": _text, "score": _score, "data": _text}
    if not isinstance(found, Mapping):
        return "no mapping"
    damaged = (t for t, one in found.items() if not isinstance(one, Mapping) or _wrong(one, checks, needed=True))
    task = next(damaged, None)
    return None if task is None else f"the baseline of {task!r:.40} is damaged"


def _wrong(value: Mapping[str, Any], checks: Mapping[str, Check], needed: bool) -> str | None:
    for name, check in checks.items():
        if name not in value and needed:
            return f"no {name}"
        if name in value and not check(value[name]):
            return f"{name} is {value[name]!r:.60}"
    return None

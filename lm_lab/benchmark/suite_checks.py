"""Whether a suite has the entries, kinds and names that it must have; the first fault is told in a line."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from lm_lab.benchmark.axes import PLURALS, entries, swept
from lm_lab.errors import UsageError
from lm_lab.results.records import AVERAGE

SECTIONS = ("model", "data", "trainer")
_RUNS = ("seeds", "selection_seeds", "race", "keep")
_SUITE = ("name", "description", *_RUNS, "defaults", *PLURALS.values(), "axes", "exclude")
_TAKEN = {*PLURALS, "size", "knob", "tuned", "seed", "control", "id", "status", "reason", "mean", "failed", "notes"}
_KEYS = {
    "backbones": ("backbone", "control", *SECTIONS),
    "tasks": SECTIONS,
    "strategies": ("class_path", "init_args", "knob", "sizes", "tune", "select_at", *SECTIONS),
}
_LONGEST_NAME = 80
_LAST_SEED = 2**32 - 1
_LARGEST_SIZE = 1e15


def check_suite(source: Any, path: str) -> None:
    """Raise a UsageError that names the entry unless `source`, what the YAML file `path` says, is a suite."""
    _mapping(source, path, _SUITE)
    _name(source.get("name"), path, "name")
    _require(isinstance(source.get("description", ""), str), path, "description", "text", source.get("description"))
    _seeds(source, path)
    _sections(source.get("defaults", {}), f"{path}, defaults", SECTIONS)
    for kind, plural in PLURALS.items():
        found = source.get(plural)
        if not isinstance(found, dict) or not found:
            raise UsageError(f"{path}: '{plural}' is missing or empty, or no mapping of names: {found!r:.60}.")
        for name, entry in found.items():
            _name(name, path, f"the name of a {kind}")
            _CHECKS[plural](entry, f"{path}, {kind} '{name}'")
    _require(AVERAGE not in source["tasks"], path, "tasks", f"names other than '{AVERAGE}', the report's own", AVERAGE)
    _axes(source, path)
    _exclusions(source, path)


def _seeds(source: Mapping[str, Any], path: str) -> None:
    seeds = source.get("seeds", [0])
    fit = isinstance(seeds, list) and seeds and all(_whole(seed) and 0 <= seed <= _LAST_SEED for seed in seeds)
    _require(fit and len(set(seeds)) == len(seeds), path, "seeds", "a list of different numbers from 0 on", seeds)
    first = source.get("selection_seeds", 1)
    _require(_whole(first) and 1 <= first <= len(seeds), path, "selection_seeds", f"1 to {len(seeds)}", first)
    _require(source.get("keep", "best") == "best", path, "keep", "best, or nothing", source.get("keep"))
    race = source.get("race", 0.25)
    _require(_number(race) and 0 < race < 1, path, "race", "a share of training between 0 and 1, such as 0.25", race)


def _backbone(entry: Any, where: str) -> None:
    _sections(entry, where, _KEYS["backbones"])
    _required(entry, "backbone", dict, "a mapping with a 'source' or a 'class_path'", where)
    backbone = entry["backbone"]
    _keys_are_text(backbone, f"{where}, backbone")
    _required(backbone, "class_path" if "class_path" in backbone else "source", str, "text", f"{where}, backbone")
    _require(isinstance(entry.get("control", False), bool), where, "control", "true or false", entry.get("control"))


def _task(entry: Any, where: str) -> None:
    _sections(entry, where, _KEYS["tasks"])
    data = entry.get("data", {})
    _required(data, "class_path" if "class_path" in data else "task", str, "text", f"{where}, data")


def _strategy(entry: Any, where: str) -> None:
    _sections(entry, where, _KEYS["strategies"])
    _required(entry, "class_path", str, "text", where)
    _mapping(entry.get("init_args", {}), f"{where}, init_args")
    if ("knob" in entry) != ("sizes" in entry):
        raise UsageError(f"{where}: 'knob' and 'sizes' go together: the knob's name and its values.")
    if "knob" in entry:
        _required(entry, "knob", str, "text", where)
        _sizes(entry["sizes"], where)
    if "select_at" in entry and entry["select_at"] not in entry.get("sizes", []):
        raise UsageError(f"{where}: select_at={entry['select_at']!r} is none of the sizes {entry.get('sizes', [])}.")
    _mapping(entry.get("tune", {}), f"{where}, tune")
    for key, values in entry.get("tune", {}).items():
        _tuned(key, values, f"{where}, tune")


_CHECKS: dict[str, Callable[[Any, str], None]] = {"backbones": _backbone, "tasks": _task, "strategies": _strategy}


def _sizes(sizes: Any, where: str) -> None:
    fit = isinstance(sizes, list) and sizes and all(_number(size) and abs(size) < _LARGEST_SIZE for size in sizes)
    _require(fit and len(set(sizes)) == len(sizes), where, "sizes", "a list of different numbers", sizes)


def _tuned(key: str, values: Any, where: str) -> None:
    section = key.split(".")[0]
    if "." in key and section not in SECTIONS:
        raise UsageError(f"{where}: '{key}' begins with none of {', '.join(SECTIONS)}.")
    fit = isinstance(values, list) and values and all(_number(v) or isinstance(v, str | bool) for v in values)
    _require(fit and len(set(values)) == len(values), where, key, "a list of different values to try", values)


def _axes(source: Mapping[str, Any], path: str) -> None:
    axes = source.get("axes", {})
    _mapping(axes, f"{path}, axes")
    taken = _TAKEN | {entry.get("knob") for entry in source["strategies"].values()}
    for name, spec in axes.items():
        _name(name, path, "the name of an axis")
        _require(name not in taken, path, "axes", "names that no column of the results and no knob has", name)
        where = f"{path}, axis '{name}'"
        _mapping(spec, where)
        _require(bool(spec), path, name, "one setting and its values, or values and what each sets", spec)
        for value, entry in spec.items():
            if swept(spec):
                _require("." in value, where, value, "a path such as data.train_limit", value)
                _tuned(value, entry, where)
            else:
                _name(value, where, "a value")
                _sections(entry, f"{where}, '{value}'", SECTIONS)


def _exclusions(source: Mapping[str, Any], path: str) -> None:
    rules = source.get("exclude", [])
    _require(isinstance(rules, list), path, "exclude", "a list of rules", rules)
    known = {axis: source[plural] for axis, plural in PLURALS.items()}
    known |= {axis: entries(spec) for axis, spec in source.get("axes", {}).items()}
    for rule in rules:
        _mapping(rule, f"{path}, exclude", tuple(known))
        _require(bool(rule), path, "exclude", "rules that name something", rule)
        for axis, names in rule.items():
            listed = names if isinstance(names, list) else [names]
            fit = all(isinstance(name, str | int | float) and name in known[axis] for name in listed)
            expected = f"one or several of {', '.join(map(str, known[axis])):.200}"
            _require(fit, f"{path}, exclude", axis, expected, names)


def _sections(entry: Any, where: str, known: tuple[str, ...]) -> None:
    _mapping(entry, where, known)
    for section in SECTIONS:
        if section in entry:
            _mapping(entry[section], f"{where}, {section}")


def _mapping(value: Any, where: str, known: tuple[str, ...] = ()) -> None:
    if not isinstance(value, dict):
        raise UsageError(f"{where}: expected a mapping, found {value!r:.60}.")
    _keys_are_text(value, where)
    if known and (unknown := sorted(set(value) - set(known))):
        raise UsageError(f"{where}: unknown key '{unknown[0]}'; known: {', '.join(sorted(known))}.")


def _keys_are_text(value: Any, where: str) -> None:
    """A record is JSON, whose keys are text; at any depth. Messages name them in a line."""
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _keys_are_text(part, where)
    if isinstance(value, dict) and (
        wrong := [key for key in value if not isinstance(key, str) or not key.isprintable()]
    ):
        raise UsageError(f"{where}: the name {wrong[0]!r:.60} is no text of one line; a number goes in quotes.")


def _name(value: Any, where: str, what: str) -> None:
    """A name is shown in tables and becomes part of the names of W&B's folders."""
    fit = isinstance(value, str) and value.strip() and len(value) <= _LONGEST_NAME and value.isprintable()
    if not fit or value.startswith(".") or set(value) & set("/\\"):
        expected = f"text of up to {_LONGEST_NAME} signs without '/', not beginning with '.' (a number goes in quotes)"
        raise UsageError(f"{where}: {what} is missing or no name: {value!r:.100}; expected {expected}.")


def _required(entry: Mapping[str, Any], key: str, kind: type, expected: str, where: str) -> None:
    if not isinstance(entry.get(key), kind) or not entry[key]:
        raise UsageError(f"{where}: '{key}' is missing or not {expected}: {entry.get(key)!r:.60}.")


def _require(fit: Any, where: str, key: str, expected: str, value: Any) -> None:
    if not fit:
        raise UsageError(f"{where}: '{key}' is {value!r:.60}; expected {expected}.")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return _whole(value) or (isinstance(value, float) and math.isfinite(value))

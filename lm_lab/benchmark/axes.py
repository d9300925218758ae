"""The axes of a suite: what it varies, and what each value of an axis sets."""

from collections.abc import Mapping
from typing import Any

from lm_lab.errors import UsageError
from lm_lab.results.coordinates import BACKBONE, STRATEGY, TASK, Value

PLURALS = {TASK: "tasks", BACKBONE: "backbones", STRATEGY: "strategies"}  # axes that every suite has, and their entries


def swept(spec: Mapping[Any, Any]) -> bool:
    """True for the short form of an axis, `{data.train_limit: [100, 1000]}`: one setting and its values."""
    return len(spec) == 1 and all(isinstance(values, list) for values in spec.values())


def entries(spec: Mapping[Any, Any]) -> dict[Value, Mapping[str, Any]]:
    """What each value of an axis sets, as `{section: {...}}`."""
    if not swept(spec):
        return dict(spec)
    [(path, values)] = spec.items()
    return {value: _setting(path, value) for value in values}


def place(config: dict[str, Any], path: str, value: Any) -> None:
    """Set what the dotted `path` names. Raises `UsageError` where something above it is no mapping."""
    *parents, last = path.split(".")
    for parent in parents:
        config = config.setdefault(parent, {})
        if not isinstance(config, dict):
            raise UsageError(f"tune: '{path}' cannot be set, since '{parent}' is {config!r:.60}.")
    config[last] = value


def _setting(path: str, value: Value) -> dict[str, Any]:
    found: dict[str, Any] = {}
    place(found, path, value)
    return found

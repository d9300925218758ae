"""A task as plain data and back: it is kept with what was trained on it."""

import dataclasses
from importlib import import_module
from typing import Any

from lm_lab import metrics
from lm_lab.metrics import METRICS
from lm_lab.tasks.task import Task


def spec(task: Task) -> dict[str, Any]:
    """Class path and settings; metrics as dotted names."""
    settings = {field.name: _plain(getattr(task, field.name)) for field in dataclasses.fields(task)}
    return {"class_path": _path(type(task)), "init_args": settings}


def build(description: dict[str, Any]) -> Task:
    """The task that `spec` described. The caller checks first that the description may be trusted."""
    settings = {name: _frozen(value) for name, value in description["init_args"].items()}
    settings["metrics"] = tuple(_named(path) for path in settings["metrics"])
    task: Task = _named(description["class_path"])(**settings)
    return task


def _plain(value: Any) -> Any:
    if callable(value):
        ours = METRICS.get(value.__name__) is value
        return f"{metrics.__name__}.{value.__name__}" if ours else _path(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _path(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _named(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)

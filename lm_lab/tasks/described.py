"""A task as plain data and back: it is kept with what was trained on it."""

import dataclasses
from typing import Any

from lm_lab.described import class_path, described, named
from lm_lab.tasks.task import Task


def describe(task: Task) -> dict[str, Any]:
    """Class path and settings; metrics as dotted names."""
    settings = {field.name: _plain(getattr(task, field.name)) for field in dataclasses.fields(task)}
    return described(type(task), settings)


def build(description: dict[str, Any]) -> Task:
    """The task that `describe` describes. The caller checks first that the description may be trusted."""
    settings = {name: _frozen(value) for name, value in description["init_args"].items()}
    settings["metrics"] = tuple(named(path) for path in settings["metrics"])
    task: Task = named(description["class_path"])(**settings)
    return task


def _plain(value: Any) -> Any:
    if callable(value):
        return class_path(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value

"""Nulls where a value must stand: jsonargparse takes null for any type, and what it builds then fails far from here."""

import inspect
from collections.abc import Mapping
from importlib import import_module
from types import NoneType
from typing import Any, get_args

from lm_lab.errors import UsageError


def require_values(name: str, kind: Any, settings: Any) -> None:
    """Raise `UsageError` for a null in the settings of a class, or in those of classes inside them.

    Args:
        name: dotted, for the message.
        kind: the class, whose signature and its bases' say what may be null.
        settings: a mapping; null in its place is one too many.
    """
    if settings is None:
        raise UsageError(f"{name} is null; expected its settings, or leave it out.")
    known = _parameters(kind)
    for key, value in _items(settings):
        if value is None and key in known and not _may_be_null(known[key]):
            default = known[key].default
            hint = "" if default is inspect.Parameter.empty else f", such as {default!r}"
            raise UsageError(f"{name}.{key} is null; expected a value{hint}, or leave it out.")
        _require_inside(f"{name}.{key}", value)


def _require_inside(name: str, value: Any) -> None:
    """The same for a class that is named with its settings."""
    settings = dict(_items(value))
    if isinstance(path := settings.get("class_path"), str) and "." in path:
        module, _, kind = path.rpartition(".")
        require_values(name, getattr(import_module(module), kind), settings.get("init_args") or {})
        return
    for key, inner in settings.items():
        _require_inside(f"{name}.{key}", inner)


def _items(value: Any) -> list[tuple[str, Any]]:
    """What a mapping or a namespace of jsonargparse holds; nothing of anything else."""
    if isinstance(value, Mapping):
        return list(value.items())
    return list(vars(value).items()) if type(value).__name__ == "Namespace" else []


def _parameters(kind: Any) -> dict[str, inspect.Parameter]:
    """Parameters of a function, or of a class and of the bases to which it hands the rest, by name."""
    if not isinstance(kind, type):
        return dict(inspect.signature(kind).parameters)
    found: dict[str, inspect.Parameter] = {}
    for base in reversed(inspect.getmro(kind)):
        if "__init__" in vars(base) and base is not object:
            found |= inspect.signature(base).parameters
    return found


def _may_be_null(parameter: inspect.Parameter) -> bool:
    annotation = parameter.annotation
    plain = annotation in (Any, inspect.Parameter.empty) or isinstance(annotation, str)
    return parameter.default is None or plain or NoneType in get_args(annotation)

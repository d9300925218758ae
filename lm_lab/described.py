"""Things as the plain data that builds them again: `class_path` and `init_args`, as in configurations."""

import dataclasses
import inspect
import sys
from functools import partial
from importlib import import_module
from typing import Any

_OF_A_RUN = {"params", "optimizer", "lr", "total_steps"}  # what a factory is given


def class_path(thing: Any) -> str:
    """The dotted name of a class or function: the shortest that exports it, so that files may move within a package."""
    parts = thing.__module__.split(".")
    packages = (".".join(parts[:length]) for length in range(2, len(parts)))
    home = next((name for name in packages if _exports(name, thing)), thing.__module__)
    return f"{home}.{thing.__qualname__}"


def described(kind: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """The plain data of a `kind` with these settings."""
    return {"class_path": class_path(kind), "init_args": settings}


def factory(kind: Any) -> dict[str, Any]:
    """The plain data of a class that is called with what a run gives (an optimiser, a schedule), defaults included."""
    given: dict[str, Any] = {}
    if isinstance(kind, partial):
        kind, given = kind.func, kind.keywords
    parameters = inspect.signature(kind).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty and p.name not in _OF_A_RUN}
    return described(kind, defaults | given)


def plain(value: Any) -> Any:
    """Dataclasses in `value`, and in its lists and mappings, as the plain data that builds them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return described(type(value), {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)})
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list | tuple) else value


def named(path: str) -> Any:
    """What a dotted name stands for; it is imported. Of a stranger's name, ask `models.trust` first."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def _exports(package: str, thing: Any) -> bool:
    return getattr(sys.modules.get(package), thing.__qualname__, None) is thing

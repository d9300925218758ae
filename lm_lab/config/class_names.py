"""The classes that a configuration may name, and the settings that each takes."""

import inspect
from collections.abc import Iterable, Iterator
from importlib import import_module

# packages whose classes are found by their short name
HOMES = (
    *("lm_lab.strategies", "lm_lab.objectives", "lm_lab.data", "lm_lab.backbones"),
    *("lm_lab.training.optimizers", "lm_lab.training.schedules"),
)


def classes(home: str) -> dict[str, type]:
    """Those of a package that can be built, by name."""
    module = import_module(home)
    found = {name: getattr(module, name) for name in getattr(module, "__all__", None) or vars(module)}
    return {name: each for name, each in found.items() if inspect.isclass(each) and not inspect.isabstract(each)}


def settings(kind: type) -> list[str]:
    """Names of the arguments of a class, and of those that it passes on."""
    return list(dict.fromkeys(_arguments(kind)))


def built_as(hint: type, homes: Iterable[str] = HOMES) -> dict[str, type]:
    """Classes of the packages that are a `hint`, by name."""
    return {name: each for home in homes for name, each in classes(home).items() if issubclass(each, hint)}


def _arguments(kind: type) -> Iterator[str]:
    for each in kind.__mro__:
        if "__init__" not in vars(each):
            continue
        parameters = inspect.signature(each.__init__).parameters.values()  # type: ignore[misc]
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        yield from (p.name for p in named if p.name != "self")
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return

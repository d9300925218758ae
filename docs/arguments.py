"""Write the tables of settings from the classes: `python docs/arguments.py`.

A page names them, `<!-- settings: strategies.LoRA strategies.DoRA -->`, up to `<!-- end -->`. Defaults come from the
signature, meanings from the docstring of the class, or of one that it derives from. What a class takes of the program,
such as a backbone, is no setting.
"""

import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import docstring_parser

DOCS = Path(__file__).parent
PAGES = sorted(DOCS.rglob("*.md"))
NAMED = re.compile(r"(<!-- settings: ([\w. ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
GIVEN = ("self", "backbone", "args")  # by the program


def kind_of(name: str) -> type:
    """The class of a name below lm_lab."""
    home, _, last = name.rpartition(".")
    found: type = getattr(import_module(f"lm_lab.{home}"), last)
    return found


def filled(text: str) -> str:
    """A page with the tables as the classes have them."""
    return NAMED.sub(lambda place: place[1] + "\n".join(map(table, map(kind_of, place[2].split()))) + place[3], text)


def table(kind: type) -> str:
    """A row a setting, or a sentence where there is none."""
    found = list(rows(kind))
    if not found:
        return f"`{kind.__name__}` has no settings.\n"
    return f"| `{kind.__name__}` | default | |\n|---|---|---|\n" + "".join(f"| {' | '.join(row)} |\n" for row in found)


def rows(kind: type) -> Iterator[tuple[str, str, str]]:
    """Name, default, meaning."""
    meanings = _meanings(kind)
    for name, parameter in inspect.signature(kind).parameters.items():
        if name in GIVEN:
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            yield "...", "", meanings[name]
        else:
            yield f"`{name}`", _shown(kind, parameter), meanings[name]


def _meanings(kind: type) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        for parameter in docstring_parser.parse(each.__doc__ or "").params:
            text = re.sub(r"\bNone\b", "null", " ".join((parameter.description or "").split()))
            for name in parameter.arg_name.split(", "):  # several that are explained in one go
                found[name] = text.replace("|", "\\|")
    return found


def _shown(kind: type, parameter: inspect.Parameter) -> str:
    made = (
        {f.name: f.default_factory for f in fields(kind) if f.default_factory is not MISSING}
        if is_dataclass(kind)
        else {}
    )
    if parameter.name in made:
        return _value(made[parameter.name]())
    return "" if parameter.default is parameter.empty else _value(parameter.default)


def _value(value: Any) -> str:
    """As YAML would have it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, float | int | str):
        return f"{value:g}" if isinstance(value, float) else str(value) or '""'
    return f"`{getattr(value, '__name__', type(value).__name__)}`"


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")

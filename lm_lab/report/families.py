"""What kind of method a strategy is, so that a page shows kinds and not only names.

A class says its group itself (`lm_lab/strategies/about.py`). A report is made without torch, which importing the class
would take, so the words are read from the source.
"""

import ast
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lm_lab.results.records import CellRecord

OWN = ""
"""Of a class that is none of lm_lab.strategies."""


def family(record: CellRecord) -> str:
    """The group of a cell's strategy, such as "adapters"; `OWN` where its class says none."""
    model: Any = record.get("config", {}).get("model", {})
    chosen = model.get("strategy") if isinstance(model, Mapping) else None
    path = chosen.get("class_path", "") if isinstance(chosen, Mapping) else ""
    module, _, name = str(path).rpartition(".")
    return _groups().get(name, OWN) if module.split(".")[:2] in ([""], ["lm_lab", "strategies"]) else OWN


@cache
def _groups() -> Mapping[str, str]:
    """Class -> group, of every class of lm_lab.strategies; a class without a word of its own has that of its base."""
    package = find_spec("lm_lab")
    assert package is not None
    assert package.submodule_search_locations
    sources = (Path(package.submodule_search_locations[0]) / "strategies").glob("*.py")
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sources]
    classes = {node.name: node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)}
    return {name: _group(name, classes) for name in classes}


def _group(name: str, classes: Mapping[str, ast.ClassDef]) -> str:
    for node in classes[name].body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "group":
            return str(node.value.value) if isinstance(node.value, ast.Constant) and node.value.value else OWN
    bases = [base.id for base in classes[name].bases if isinstance(base, ast.Name) and base.id in classes]
    return next(filter(None, (_group(base, classes) for base in bases)), OWN)

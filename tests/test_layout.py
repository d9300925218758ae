"""The direction of imports: a value on one axis never knows the other axes."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import lm_lab

ROOT = Path(lm_lab.__file__).parent
SHARED = {
    "atomic",
    "described",
    "renamed",
    "errors",
    "hub",
    "nearest",
    "provenance",
    "redaction",
    "tokens",
    "trees",
    "yaml_files",
}
ALLOWED = {
    "metrics": set(),
    "words": {"data", "metrics"},
    "backbones": {"words"},
    "tasks": {"metrics"},
    "results": set(),
    "data": {"metrics", "tasks"},
    "heads": {"backbones", "data", "tasks"},
    "strategies": {"backbones", "heads", "tasks"},
    "objectives": {"backbones"},
    "models": {"backbones", "data", "heads", "metrics", "strategies", "tasks"},
    "training": {"backbones", "data", "heads", "models", "objectives", "probing", "strategies", "tasks"},
    "config": {"backbones", "data", "models", "prompting", "strategies", "training"},
    "packs": {"backbones", "data", "heads", "models", "strategies", "training"},
    "doctor": {"backbones", "models", "packs", "strategies", "tasks"},
    "serving": {"models", "packs", "strategies"},
    "probing": {"backbones", "data", "heads", "metrics", "models", "strategies", "tasks"},
    "interchange": {"backbones", "data", "heads", "models", "strategies", "tasks"},
    "scoring": {"backbones", "data", "metrics", "objectives"},
    "prompting": {"backbones", "data", "heads", "scoring", "strategies", "tasks"},
    "benchmark": {
        *("backbones", "config", "data", "heads", "metrics", "models", "packs"),
        *("probing", "results", "strategies", "tasks", "training"),
    },
    "report": {"metrics", "results"},
    "tracking": {"models", "report", "results", "training"},
    "commands": {
        *("backbones", "data", "metrics", "models", "objectives", "strategies", "tasks", "training"),
        *("benchmark", "config", "doctor", "interchange", "probing", "report", "results"),
        *("scoring", "tracking", "words"),
    },
}


def imported(path: Path) -> set[str]:
    """Packages of this project that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("lm_lab.")}


def test_every_package_has_a_rule():
    assert {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()} == set(ALLOWED)


def test_every_package_is_described():
    described = (ROOT.parent / "docs/design.md").read_text()
    assert not [package for package in ALLOWED if f"| `lm_lab/{package}/` |" not in described]


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_point_one_way(package):
    for path in (ROOT / package).rglob("*.py"):
        outside = imported(path) - ALLOWED[package] - SHARED - {package, "__version__"}
        assert not outside, f"{path.relative_to(ROOT)} imports {sorted(outside)}"


@pytest.mark.parametrize("package", ALLOWED)
def test_what_is_allowed_is_used(package):
    used = set().union(*(imported(path) for path in (ROOT / package).rglob("*.py")))
    assert used >= ALLOWED[package]


def test_nothing_imports_the_command_line():
    for path in ROOT.rglob("*.py"):
        assert "cli" not in imported(path) or path.name == "__main__.py"


def test_no_file_is_called_utils():
    assert not [path for path in ROOT.rglob("*.py") if path.stem in {"utils", "helpers", "misc", "common"}]


def test_packages_form_no_circle():
    assert list(TopologicalSorter(ALLOWED).static_order())


def test_files_form_no_circle():
    """Of what is imported as a file is loaded; what a function imports, or the type checker alone, comes later."""
    files = {".".join(path.relative_to(ROOT.parent).with_suffix("").parts): path for path in ROOT.rglob("*.py")}
    graph = {name: {found for found in loaded(path) if found in files} - {name} for name, path in files.items()}
    assert list(TopologicalSorter(graph).static_order())


def loaded(path: Path) -> set[str]:
    """Modules that a file imports as it is loaded: what it names, not the packages above it."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def test_files_are_short():
    long = {path.name: lines for path in ROOT.rglob("*.py") if (lines := len(path.read_text().splitlines())) > 250}
    assert long == {}


def test_functions_are_short():
    long = {}
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno + 1 > 45:
                long[f"{path.name}:{node.name}"] = node.end_lineno - node.lineno + 1
    assert long == {}


def test_files_of_tests_have_names_of_their_own():
    names = sorted(path.name for path in (ROOT.parent / "tests").rglob("test_*.py"))
    assert [name for name in names if names.count(name) > 1] == []  # pytest would collect the first alone

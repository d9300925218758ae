"""The direction of imports: a value on one axis never knows the other axes."""

import ast
from pathlib import Path

import pytest

import lm_lab

ROOT = Path(lm_lab.__file__).parent
SHARED = {"atomic", "errors", "hub", "provenance", "redaction", "yaml_files"}
ALLOWED = {
    "backbones": set(),
    "tasks": set(),
    "strategies": {"backbones"},
    "objectives": {"backbones"},
    "data": {"tasks"},
    "training": {"backbones", "strategies", "objectives", "tasks", "data"},
    "doctor": {"backbones", "strategies", "tasks", "training"},
    "serving": {"backbones", "strategies", "tasks", "training"},
    "probing": {"backbones", "strategies", "tasks", "data", "training"},
    "interchange": {"backbones", "strategies", "tasks", "data", "training"},
    "commands": {
        *("backbones", "strategies", "objectives", "tasks", "data", "training", "doctor", "probing"),
        *("interchange", "benchmark", "tracking"),
    },
    "benchmark": {"backbones", "strategies", "objectives", "tasks", "data", "training", "commands", "tracking"},
    "tracking": {"backbones", "strategies", "objectives", "tasks", "data", "training", "benchmark"},
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


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_point_one_way(package):
    for path in (ROOT / package).rglob("*.py"):
        outside = imported(path) - ALLOWED[package] - SHARED - {package, "__version__"}
        assert not outside, f"{path.relative_to(ROOT)} imports {sorted(outside)}"


def test_nothing_imports_the_command_line():
    for path in ROOT.rglob("*.py"):
        assert "cli" not in imported(path) or path.name == "__main__.py"


def test_no_file_is_called_utils():
    assert not [path for path in ROOT.rglob("*.py") if path.stem in {"utils", "helpers", "misc", "common"}]

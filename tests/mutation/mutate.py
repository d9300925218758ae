"""Change one thing at a time in the objectives, and list the changes that no test notices: `make mutate`.

    python tests/mutation/mutate.py                        every objective: an hour and a half on two cores
    python tests/mutation/mutate.py corruption masking     some of the modules

Changed are numbers in defaults and constants (times 1.1, whole ones plus one), truth values, comparisons, and the two
branches of `torch.where`. A changed copy of the project runs the tests that name the module or its classes, in a
process forked from one that has imported torch (so not on Windows).
"""

import argparse
import ast
import multiprocessing
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import lightning  # noqa: F401  # what takes seconds to import is imported once
import peft  # noqa: F401
import pytest
import torch
import transformers  # noqa: F401

ROOT = Path(__file__).parents[2]
OBJECTIVES = Path("lm_lab/objectives")
LEFT_BEHIND = shutil.ignore_patterns(".*", "runs", "results", "docs")
_TURNED = {ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "=="}
SECONDS = 900


class Mutant(NamedTuple):
    """A change: the line, what stood there, what stands there now, and the whole changed source."""

    line: int
    before: str
    after: str
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """Every change of a module, one at a time; none in docstrings or annotations."""
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    encoded = source.encode()

    def replaced(node: ast.expr, after: str) -> Mutant:
        begin = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        before = encoded[begin:end].decode()
        return Mutant(node.lineno, before, after, (encoded[:begin] + after.encode() + encoded[end:]).decode())

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and (after := _other(node.value)) is not None:
            yield replaced(node, after)
        if isinstance(node, ast.Compare) and type(node.ops[0]) in _TURNED and len(node.ops) == 1:
            left, right = (ast.unparse(side) for side in (node.left, node.comparators[0]))
            yield replaced(node, f"({left} {_TURNED[type(node.ops[0])]} {right})")
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.where" and len(node.args) == 3:
            yield replaced(node.args[1], ast.unparse(node.args[2]))


def _other(value: object) -> str | None:
    if isinstance(value, bool):
        return str(not value)
    if isinstance(value, int) and abs(value) < 10_000:
        return str(value + 1)
    return repr(value * 1.1 + 0.001) if isinstance(value, float) else None


def tests_of(module: str) -> list[str]:
    """Tests that name the module or one that imports it, or what these define, its own first."""
    imports = re.compile(rf"^from lm_lab\.objectives[.\w]*\.{module} import", re.MULTILINE)
    named = [
        name for other in places() if other == module or imports.search(source_of(other)) for name in names_of(other)
    ]
    words = re.compile(rf"\b({'|'.join(named)})\b")
    tests = sorted((ROOT / "tests/objectives").glob("test_*.py"), key=lambda path: path.stem != f"test_{module}")
    return [str(path.relative_to(ROOT)) for path in tests if words.search(path.read_text())]


def names_of(module: str) -> list[str]:
    """The module's, and those of its classes and functions."""
    defined = ast.parse(source_of(module)).body
    return [
        ".".join(places()[module].with_suffix("").parts[1:]),
        *(node.name for node in defined if isinstance(node, ast.ClassDef | ast.FunctionDef)),
    ]


def source_of(module: str) -> str:
    """The module as it is."""
    return (ROOT / places()[module]).read_text()


def places() -> dict[str, Path]:
    """The file of each module, from the project's folder; sorted by name."""
    files = sorted((ROOT / OBJECTIVES).rglob("*.py"), key=lambda path: path.stem)
    return {path.stem: path.relative_to(ROOT) for path in files if path.stem != "__init__"}


def passes(module: str, source: str) -> bool:
    """Whether the tests of a module pass with this source of it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(ROOT, Path(folder, "copy"), ignore=LEFT_BEHIND))
        (copy / places()[module]).write_text(source)
        child = os.fork()
        if not child:
            _run_tests(copy, tests_of(module))
        _, status = os.waitpid(child, 0)
    return status == 0


def _run_tests(copy: Path, tests: list[str]) -> None:
    signal.alarm(SECONDS)  # an endless loop is noticed
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    os.chdir(copy)
    sys.path[:0] = [str(copy), str(copy / "tests")]
    options = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", f"--basetemp={copy.parent / 'tests'}"]
    code = 1
    try:
        code = pytest.main([*options, *tests])
    finally:
        os._exit(code)


def _survivor(job: tuple[str, Mutant]) -> str | None:
    module, mutant = job
    said = f"{module}.py:{mutant.line}: {mutant.before} -> {mutant.after}"
    return said if passes(module, mutant.source) else None


def _as_it_is(module: str) -> str | None:
    return None if passes(module, source_of(module)) else module


def main() -> None:
    """Print what survives, and how many were tried."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = list(places())
    parser.add_argument("modules", nargs="*", help="of lm_lab/objectives; all if none is named")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (default: one a core)")
    chosen = parser.parse_args()
    modules = chosen.modules or every
    if unknown := set(modules) - set(every):
        parser.error(f"{min(unknown)} is none of {', '.join(every)}")
    jobs = [(module, mutant) for module in modules for mutant in mutants(source_of(module))]
    torch.set_num_threads(1)
    with multiprocessing.get_context("fork").Pool(chosen.workers) as pool:
        if failing := [module for module in pool.imap(_as_it_is, modules, 1) if module]:
            parser.error(f"tests of {', '.join(failing)} fail as they are")
        left = 0
        for survivor in pool.imap_unordered(_survivor, jobs, 1):
            if survivor:
                left += 1
                print(survivor, flush=True)
    print(f"{left} of {len(jobs)} changes were noticed by no test")


if __name__ == "__main__":
    main()

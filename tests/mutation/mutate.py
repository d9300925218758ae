"""Change one thing at a time in the objectives, and list the changes that no test notices: `make mutate`.

    python tests/mutation/mutate.py                        every objective: hours on two cores
    python tests/mutation/mutate.py corruption masking     some of the modules

Changed are numbers in defaults and constants (times 1.1, whole ones plus one), truth values, comparisons, and the two
branches of `torch.where`. Each changed copy of the project runs the tests that name the module or its classes.
"""

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
OBJECTIVES = Path("lm_lab/objectives")
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
    """Tests that name the module, or a class or function that it defines."""
    tree = ast.parse((ROOT / OBJECTIVES / f"{module}.py").read_text())
    named = [node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    words = re.compile(rf"\b({'|'.join([f'objectives.{module}', *named])})\b")
    return [str(path.relative_to(ROOT)) for path in sorted((ROOT / "tests/objectives").glob("test_*.py"))
            if words.search(path.read_text())]  # fmt: skip


def survives(copy: Path, module: str, mutant: Mutant) -> bool:
    """Whether the tests pass with the change."""
    path = copy / OBJECTIVES / f"{module}.py"
    original = path.read_text()
    path.write_text(mutant.source)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests_of(module)]
    try:
        environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, timeout=SECONDS, check=False)
        return done.returncode == 0
    except subprocess.TimeoutExpired:  # an endless loop is noticed
        return False
    finally:
        path.write_text(original)


def main() -> None:
    """Print what survives, and how many were tried."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = sorted(path.stem for path in (ROOT / OBJECTIVES).glob("*.py") if path.stem != "__init__")
    parser.add_argument("modules", nargs="*", help="of lm_lab/objectives; all if none is named")
    modules = parser.parse_args().modules or every
    if unknown := set(modules) - set(every):
        parser.error(f"{min(unknown)} is none of {', '.join(every)}")
    tried = left = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(ROOT, Path(folder, "copy"), ignore=shutil.ignore_patterns(".git", ".venv", "runs")))
        for module in modules:
            for mutant in mutants((ROOT / OBJECTIVES / f"{module}.py").read_text()):
                tried += 1
                if survives(copy, module, mutant):
                    left += 1
                    print(f"{module}.py:{mutant.line}: {mutant.before} -> {mutant.after}", flush=True)
    print(f"{left} of {tried} changes were noticed by no test")


if __name__ == "__main__":
    main()

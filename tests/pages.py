"""The pages of the documentation, and what stands in their blocks of code."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def named(path: Path) -> str:
    """Where a page is, for the name of a test."""
    return str(path.relative_to(ROOT))


def fenced(page: Path) -> list[tuple[str, str]]:
    """Language and content of every block between fences, in the order of the page."""
    return _FENCED.findall(page.read_text())


def blocks(page: Path, language: str) -> list[str]:
    """The blocks in one language."""
    return [content for of, content in fenced(page) if of == language]


def prose(page: Path) -> str:
    """What stands outside of these blocks."""
    return _FENCED.sub("", page.read_text())


def commands(block: str) -> list[str]:
    """The commands of a block, one a line, where a backslash goes on with the last."""
    return block.replace("\\\n", " ").splitlines()

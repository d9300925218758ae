"""Rows that a command found, as a table, as JSON, and as a file."""

import argparse
import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]


def say(rows: Rows, options: argparse.Namespace, cell: Callable[[str, Any], str]) -> None:
    """Print rows as a table, or as `options.json` asks; write them to the file `options.out`, if there is one.

    Args:
        rows: with the same columns; at least one.
        options: those that `arguments` adds.
        cell: from a column and a value to what a table shows.
    """
    if options.out:
        keep(rows, options.out)
    print(json.dumps(rows, indent=2) if options.json else _table(rows, cell))


def keep(rows: Rows, path: Path) -> None:
    """Write rows to a CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `say` reads."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--out", type=Path, help="file (CSV)")


def _table(rows: Rows, cell: Callable[[str, Any], str]) -> str:
    head = list(rows[0])
    shown = [[cell(name, row[name]) for name in head] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *shown, strict=True)]
    lines = []
    for first, *others in (head, *shown):
        lines.append("  ".join([first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]))
    return "\n".join(lines)

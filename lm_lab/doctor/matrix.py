"""Results of the checks as a table for a terminal, and as the documentation's table of families."""

from collections.abc import Iterable, Sequence

from lm_lab.doctor.checks import CHECKS
from lm_lab.doctor.examine import APPLIES, Result

GOOD, BAD, REFUSED = "ok", "FAILS", "–"


def matrix(results: Sequence[Result]) -> str:
    """A row a strategy, a column a check; below it what failed and what was refused, in full."""
    names = list(dict.fromkeys(row.strategy for row in results))
    width = max(map(len, names))
    found = {(row.strategy, row.check): row for row in results}
    lines = [" " * width + "  " + "  ".join(f"{number:>5}" for number in range(1, len(CHECKS) + 1))]
    for name in names:
        cells = [_cell(found[name, APPLIES], found.get((name, check))) for check in CHECKS]
        lines.append(f"{name:<{width}}  " + "  ".join(f"{cell:>5}" for cell in cells))
    lines += ["", *(f"{number:>2}  {check.replace('_', ' ')}" for number, check in enumerate(CHECKS, start=1))]
    return "\n".join([*lines, *_explained(results)])


def compatibility(results: Iterable[Result]) -> str:
    """A Markdown table: a row a strategy, a column a family."""
    rows: dict[str, dict[str, list[Result]]] = {}
    for result in results:
        rows.setdefault(result.strategy, {}).setdefault(result.family, []).append(result)
    families = list(dict.fromkeys(family for found in rows.values() for family in found))
    lines = [f"| | {' | '.join(families)} |", "|---" * (len(families) + 1) + "|"]
    for name, found in rows.items():
        lines.append(f"| {name} | {' | '.join(_verdict(found[family]) for family in families)} |")
    return "\n".join(lines)


def model_types(results: Iterable[Result]) -> str:
    """A Markdown table: a column a strategy, a row for all the families of which it says the same."""
    found: dict[str, dict[str, list[Result]]] = {}
    for result in results:
        found.setdefault(result.family, {}).setdefault(result.strategy, []).append(result)
    names = list(next(iter(found.values())))
    groups: dict[tuple[str, ...], list[str]] = {}
    for family, rows in found.items():
        groups.setdefault(tuple(_verdict(rows[name]) for name in names), []).append(f"`{family}`")
    lines = [f"| `model_type` | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    return "\n".join([*lines, *(f"| {' '.join(kinds)} | {' | '.join(row)} |" for row, kinds in groups.items())])


def _cell(applies: Result, result: Result | None) -> str:
    if result is None:
        return REFUSED if applies.refused else BAD
    return GOOD if result.ok else BAD


def _verdict(results: Sequence[Result]) -> str:
    if results[0].refused:
        return REFUSED
    return "yes" if all(result.ok for result in results) else "**fails**"


def _explained(results: Sequence[Result]) -> list[str]:
    told = [row for row in results if not row.ok or row.refused]
    return ["", *(f"{row.strategy}, {row.check.replace('_', ' ')}: {row.detail}" for row in told)] if told else []

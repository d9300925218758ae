"""Draw docs/images/budgets.svg, score against tokens of pretraining, of benchmarks/results/budgets: `python
docs/budgets.py`. Its table is written by `python docs/compared.py`."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import measured

from lm_lab.report.palette import FAMILIES

ROOT = Path(__file__).parents[1]
RESULTS, IMAGE = ROOT / "benchmarks/results/budgets", ROOT / "docs/images/budgets.svg"
TOKENS = {"none": 0.0, "200k": 0.2, "2M": 2.0, "20M": 20.0, "wide_none": 0.0, "wide_299M": 299.0}  # millions
SIZES = {"2 layers of 128": ("none", "200k", "2M", "20M"), "3 blocks of 512": ("wide_none", "wide_299M")}
TASKS = {"sst2": "SST-2: accuracy", "stsb": "STS-B: correlation", "cola": "CoLA: Matthews"}
STRATEGIES = {"full": "fine-tuned in full", "probe": "probed"}
COLOURS = {"full": FAMILIES["fine-tuning"], "probe": FAMILIES["features"]}
_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 190, 190, 34, 30, 46
_INK, _MUTED, _RULE = "#1f2328", "#59636e", "#e4e7eb"
_ASIDE = 5  # so far the wide model stands to the right
_FIRST, _LAST = math.log10(0.02), math.log10(500)  # no pretraining stands at the first
Place = Callable[[float], float]


def drawn(rows: list[measured.Row]) -> str:
    """A panel a task; solid lines are of the small model, dashed ones join the two starts of the wide one."""
    panels = (_panel(rows, task, number) for number, task in enumerate(TASKS))
    width, height = len(TASKS) * (_WIDTH + _GAP) + 10, _TOP + _HEIGHT + 92
    box = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    parts = "".join((*panels, *_legend(_TOP + _HEIGHT + 60)))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-size="11" font-family="sans-serif" fill="{_INK}">'
        f'<rect width="100%" height="100%" fill="white"/>{parts}</svg>\n'
    )


def _panel(rows: list[measured.Row], task: str, number: int) -> str:
    found = {(row["strategy"], row["backbone"]): row for row in rows if row["task"] == task}
    low = min(row["low"] for row in found.values())
    high = max(row["high"] for row in found.values())
    bottom, top = math.floor(low * 10) / 10, math.ceil(high * 10) / 10

    def y(score: float) -> float:
        return _TOP + _HEIGHT * (1 - (score - bottom) / (top - bottom))

    left = _LEFT + number * (_WIDTH + _GAP)
    parts = [f'<text x="{left}" y="18" font-weight="600">{TASKS[task]}</text>', *_frame(left, bottom, top, y)]
    for strategy, (size, names) in ((s, item) for s in STRATEGIES for item in SIZES.items()):
        marks = [(left + _x(TOKENS[name]), found[strategy, name]) for name in names if (strategy, name) in found]
        parts += _curve(marks, y, COLOURS[strategy], dashed=size != next(iter(SIZES)))
    return "".join(parts)


def _curve(marks: list[tuple[float, measured.Row]], y: Place, colour: str, dashed: bool) -> Iterator[str]:
    marks = [(x + _ASIDE * dashed, row) for x, row in marks]
    points = " ".join(f"{x:.1f},{y(row['mean']):.1f}" for x, row in marks)
    style = ' stroke-dasharray="5 4"' if dashed else ""
    yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{style}/>'
    for x, row in marks:
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y(row["low"]):.1f}" y2="{y(row["high"]):.1f}" stroke="{colour}"/>'
        fill = "white" if dashed else colour
        yield f'<circle cx="{x:.1f}" cy="{y(row["mean"]):.1f}" r="4" stroke="{colour}" fill="{fill}"/>'


def _frame(left: float, bottom: float, top: float, y: Place) -> Iterator[str]:
    for tenth in range(round(bottom * 10), round(top * 10) + 1):
        at = y(tenth / 10)
        yield f'<line x1="{left}" x2="{left + _WIDTH}" y1="{at:.1f}" y2="{at:.1f}" stroke="{_RULE}"/>'
        yield f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end" fill="{_MUTED}">{minus(10 * tenth)}</text>'
    for tokens, label in ((0.0, "none"), (0.2, "0.2M"), (2.0, "2M"), (20.0, "20M"), (299.0, "299M")):
        x, below = left + _x(tokens), _TOP + _HEIGHT + 16
        yield f'<text x="{x:.1f}" y="{below}" text-anchor="middle" fill="{_MUTED}">{label}</text>'
    middle, below = left + _WIDTH / 2, _TOP + _HEIGHT + 32
    yield f'<text x="{middle}" y="{below}" text-anchor="middle" fill="{_MUTED}">tokens of pretraining</text>'


def minus(number: int) -> str:
    """With a minus sign, which is wider than a hyphen."""
    return str(number).replace("-", "−")


def _x(tokens: float) -> float:
    place = math.log10(tokens) if tokens else _FIRST
    return _WIDTH * (place - _FIRST) / (_LAST - _FIRST)


def _legend(y: float) -> Iterator[str]:
    for row, (size, dash) in enumerate(zip(SIZES, ("", ' stroke-dasharray="5 4"'), strict=True)):
        for column, (strategy, words) in enumerate(STRATEGIES.items()):
            x, at, colour = _LEFT + 260 * column, y + 18 * row, COLOURS[strategy]
            yield f'<line x1="{x}" x2="{x + 26}" y1="{at - 4}" y2="{at - 4}" stroke="{colour}" stroke-width="2"{dash}/>'
            yield f'<text x="{x + 32}" y="{at}">{words}, {size}</text>'


if __name__ == "__main__":
    IMAGE.write_text(drawn(measured.rows(RESULTS)), encoding="utf-8")

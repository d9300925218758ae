"""Backbones side by side: a row a backbone, a marker a strategy, for suites that compare what to start from."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from statistics import fmean

from lm_lab.report import text
from lm_lab.report.curves import Point
from lm_lab.report.figures import strategies
from lm_lab.report.marks import mark, named
from lm_lab.report.palette import Look
from lm_lab.report.table import columns
from lm_lab.results.coordinates import Coordinates
from lm_lab.results.records import AVERAGE

_LEFT, _WIDTH, _ROW, _TOP, _LINE = 190, 820, 22, 26, 18
_SHIFT = 4  # how far apart the strategies of a row are drawn, so that intervals do not cover each other
_GREY = "rgba(128,128,128,0.35)"
PointsByBackbone = dict[str, list[Point]]


def side_by_side(points: Sequence[Point]) -> str:
    """A figure for the average, or for the first task, and one for each other task; "" for a single backbone."""
    scored = [point for point in points if point.scores]
    if len({point.key.backbone for point in scored if not point.control}) < 2:
        return ""
    palette = strategies(scored)
    tasks = sorted(columns(scored), key=lambda task: task != AVERAGE)
    figures = [_figure(_rows(scored, task), palette, task) for task in tasks]
    others = f"<details><summary>Each task</summary>{''.join(figures[1:])}</details>" if figures[1:] else ""
    return figures[0] + others


def _rows(points: Sequence[Point], task: str) -> PointsByBackbone:
    """The points of a task by backbone: best mean first, controls last."""
    found: PointsByBackbone = {}
    for point in points:
        if point.task == task:
            found.setdefault(point.key.backbone, []).append(point)
    return dict(sorted(found.items(), key=lambda row: (row[1][0].control, -fmean(point.mean for point in row[1]))))


def _figure(rows: PointsByBackbone, palette: Mapping[str, Look], task: str) -> str:
    every = [point for row in rows.values() for point in row]
    low = min(point.mean - _half(point) for point in every)
    high = max(point.mean + _half(point) for point in every)
    methods = list(dict.fromkeys(point.key.method for point in every))
    legend, lines = _legend(every, palette)
    top, tall = _TOP + _LINE * lines, max(_ROW, _SHIFT * len(methods) + 10)
    height = top + tall * len(rows) + 26
    parts = [*legend, *(_tick(value, (low, high), top, height) for value in _ticks(low, high))]
    for place, (name, row) in enumerate(rows.items()):
        y = top + tall * (place + 0.5)
        faded = ' opacity="0.6"' if row[0].control else ""
        label = named(_LEFT - 10, y + 4, name, _LEFT - 14, 12, 'text-anchor="end"')
        dots = [_dot(p, _x(low, high), y + _offset(methods, p.key.method), palette[p.key.line.label]) for p in row]
        parts.append(f"<g{faded}>{label}{''.join(dots)}</g>")
    box = f'viewBox="0 0 {_WIDTH + 20} {height}" width="{_WIDTH + 20}" height="{height}"'
    style = 'font-size="12" fill="currentColor" font-family="sans-serif"'
    caption = f"<figcaption>{escape(task)}: mean score and 95% interval over seeds</figcaption>"
    return f"<figure>{caption}<svg {box} {style}>{''.join(parts)}</svg></figure>"


def _dot(point: Point, scale: tuple[float, float], y: float, look: Look) -> str:
    start, by = scale
    x, half = start + by * point.mean, by * _half(point)
    name = f"{point.key.method.label}, {point.key.backbone}: {text.plus_minus(point.interval)}"
    line = f'<line x1="{x - half:.1f}" y1="{y:.1f}" x2="{x + half:.1f}" y2="{y:.1f}" stroke="{look.colour}"/>'
    return line + mark(look, x, y, 4, name)


def _legend(points: Sequence[Point], palette: Mapping[str, Look]) -> tuple[list[str], int]:
    """Names after another, in as many lines as they need, and how many these are."""
    x, line, parts = float(_LEFT), 0, []
    for name in dict.fromkeys(point.key.method.label for point in points):
        label = next(p.key.line.label for p in points if p.key.method.label == name)
        wide = 30 + 7 * len(name)
        if x + wide > _WIDTH and x > _LEFT:
            x, line = float(_LEFT), line + 1
        parts.append(mark(palette[label], x, 12 + _LINE * line, 4))
        parts.append(named(x + 9, 16 + _LINE * line, name, _WIDTH - x, 12))
        x += wide
    return parts, line + 1


def _tick(value: float, ends: tuple[float, float], top: int, height: int) -> str:
    start, by = _x(*ends)
    x = start + by * value
    return (
        f'<line x1="{x:.1f}" y1="{top - 8}" x2="{x:.1f}" y2="{height - 22}" stroke="{_GREY}"/>'
        f'<text x="{x:.1f}" y="{height - 6}" text-anchor="middle">{100 * value:g}</text>'
    )


def _ticks(low: float, high: float) -> list[float]:
    """Round values between the ends, four to nine of them."""
    step = next(s for s in (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2) if (high - low) / s < 10 or s == 0.2)
    return [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _x(low: float, high: float) -> tuple[float, float]:
    """Where nought is drawn, and how many units wide a score of one is."""
    by = (_WIDTH - _LEFT) / max(high - low, 1e-3)
    return _LEFT - by * low, by


def _offset(methods: Sequence[Coordinates], method: Coordinates) -> float:
    return _SHIFT * (methods.index(method) - (len(methods) - 1) / 2)


def _half(point: Point) -> float:
    """Half of the interval; none from a single seed, and no more than a tenth, which would hide all others."""
    half = point.interval.half
    return 0.0 if math.isnan(half) else min(half, 0.1)

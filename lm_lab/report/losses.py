"""Training loss of full fine-tuning over steps: what a pretrained start is worth beside random weights."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from statistics import fmean
from typing import NamedTuple

from lm_lab.report.curves import Point
from lm_lab.report.figures import references
from lm_lab.report.marks import named
from lm_lab.report.palette import FAMILIES, REFERENCE, Look
from lm_lab.report.palette import named as looks_of
from lm_lab.results.records import AVERAGE, CellRecord

_WIDTH, _HEIGHT, _LEFT, _BELOW, _LINE, _NAMES = 520, 180, 40, 34, 16, 260
_MANY = 8  # lines in one picture; more have a panel each
_PANEL, _COLUMNS, _OWN = (206, 90), 4, FAMILIES["updates"]
_WINDOW = 5  # recorded steps that are averaged: a loss is that of one batch
Curve = list[tuple[float, float]]
Lines = Mapping[str, tuple[Curve, bool]]  # by place: the curve, and whether it is a control


class Axes(NamedTuple):
    """What the ends of the axes stand for, and how wide and high the plot is."""

    step: float
    loss: float
    width: int
    height: int

    def x(self, step: float) -> float:
        """Pixels from the left."""
        return _LEFT + (self.width - _LEFT) * step / self.step

    def y(self, loss: float) -> float:
        """Pixels from the top."""
        return self.height * (1 - loss / self.loss)


def training_losses(points: Sequence[Point], records: Sequence[CellRecord]) -> str:
    """A figure a task, with a line a backbone; "" unless full fine-tuning ran on two backbones or more."""
    drawn = pictures(points, records).items()
    return "".join(f"<figure><figcaption>{escape(task)}</figcaption>{svg}</figure>" for task, svg in drawn)


def pictures(points: Sequence[Point], records: Sequence[CellRecord]) -> dict[str, str]:
    """SVG text by task, of tasks on which full fine-tuning ran on two backbones or more."""
    histories = {record["id"]: record.get("history", []) for record in records}
    full = references(points)
    shown = [point for point in points if point.key in full and point.task != AVERAGE]
    palette = looks_of(point.key.place.label for point in shown)
    drawn = {}
    for task in dict.fromkeys(point.task for point in shown):
        drawable = [(p, curve) for p in shown if p.task == task and (curve := _mean(p, histories))]
        lines = {p.key.place.label: (curve, p.control) for p, curve in drawable}
        if len(lines) > 1:
            drawn[task] = _figure(task, lines, palette)
    return drawn


def _mean(point: Point, histories: Mapping[str, Sequence[Mapping[str, float]]]) -> Curve:
    """(step, loss), averaged over the seeds of a point and a few steps before each."""
    seeds = [histories[cell] for cell in point.cells if histories.get(cell)]
    length = min(map(len, seeds), default=0)
    means = [fmean(seed[i]["loss"] for seed in seeds) for i in range(length)]
    return [(seeds[0][i]["step"], fmean(means[max(0, i - _WINDOW + 1) : i + 1])) for i in range(length)]


def _figure(task: str, lines: Lines, palette: Mapping[str, Look]) -> str:
    return _panels(task, lines) if len(lines) > _MANY else _together(lines, palette)


def _axes(lines: Lines, width: int, height: int) -> Axes:
    ends = [curve[-1][0] for curve, _ in lines.values()]
    losses = [loss for curve, _ in lines.values() for _, loss in curve]
    return Axes(max(ends) or 1.0, max(losses) or 1.0, width, height)


def _together(lines: Lines, palette: Mapping[str, Look]) -> str:
    axes = _axes(lines, _WIDTH, _HEIGHT)
    parts = [*(_mark(value, axes) for value in (0.0, axes.loss / 2, axes.loss)), *_steps(axes)]
    # names stand in the order in which their lines end
    for place, (name, (curve, control)) in enumerate(sorted(lines.items(), key=lambda line: -line[1][0][-1][1])):
        colour, y = palette[name].colour, 14 + _LINE * place
        parts.append(_line(curve, control, axes, colour))
        parts.append(f'<path d="M{_WIDTH + 8} {y - 4}h14" stroke="{colour}" stroke-width="2.5"/>')
        parts.append(named(_WIDTH + 28, y, f"{name}, {curve[-1][1]:.2f}", _NAMES - 30, 11))
    return _svg(_WIDTH + _NAMES, axes.height + _BELOW, parts)


def _panels(task: str, lines: Lines) -> str:
    """A panel each, lowest last loss first: all lines in grey, and its own."""
    axes, wide = _axes(lines, *_PANEL), _PANEL[0] + 14
    key = f"losses-{re.sub(r'[^A-Za-z0-9]+', '-', task)}"
    every = "".join(_line(curve, False, axes, "rgba(128,128,128,0.35)", 1.0) for curve, _ in lines.values())
    parts = [f'<defs><g id="{key}">{"".join(_mark(value, axes) for value in (0.0, axes.loss))}{every}</g></defs>']
    ordered = sorted(lines.items(), key=lambda line: (line[1][1], line[1][0][-1][1]))
    for place, (name, (curve, control)) in enumerate(ordered):
        x, y = wide * (place % _COLUMNS), (axes.height + 44) * (place // _COLUMNS) + 18
        label = named(_LEFT, -6, f"{name}, {curve[-1][1]:.2f}", axes.width - _LEFT, 11)
        own = _line(curve, control, axes, REFERENCE if control else _OWN, 2.2)
        parts.append(f'<g transform="translate({x} {y})"><use href="#{key}"/>{label}{own}{"".join(_steps(axes))}</g>')
    rows = -(-len(lines) // _COLUMNS)
    return _svg(wide * _COLUMNS, (axes.height + 44) * rows + 14, parts)


def _line(curve: Curve, control: bool, axes: Axes, colour: str, width: float = 1.8) -> str:
    path = " ".join(f"{axes.x(step):.1f},{axes.y(loss):.1f}" for step, loss in curve)
    dash = ' stroke-dasharray="3 3"' if control else ""
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>'


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    box = f'viewBox="0 -8 {width} {height}" width="{width}" height="{height}"'
    style = 'font-size="11" fill="currentColor" font-family="sans-serif"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} {style}>{"".join(parts)}</svg>'


def _steps(axes: Axes) -> list[str]:
    places = (
        (_LEFT, "0", "start"),
        ((_LEFT + axes.width) / 2, "step", "middle"),
        (axes.width, f"{axes.step:g}", "end"),
    )
    y = axes.height + 16
    return [f'<text x="{x:.0f}" y="{y}" text-anchor="{anchor}">{label}</text>' for x, label, anchor in places]


def _mark(value: float, axes: Axes) -> str:
    y = axes.y(value)
    return (
        f'<line x1="{_LEFT - 4}" y1="{y:.1f}" x2="{axes.width}" y2="{y:.1f}" stroke="rgba(128,128,128,0.35)"/>'
        f'<text x="0" y="{y + 4:.1f}">{value:.2f}</text>'
    )

"""Training loss of full fine-tuning over steps: what a pretrained start is worth beside random weights."""

from collections.abc import Mapping, Sequence
from html import escape
from statistics import fmean
from typing import NamedTuple

from lm_lab.report.curves import Point
from lm_lab.report.figures import colours, references
from lm_lab.results.records import AVERAGE, CellRecord

_WIDTH, _HEIGHT, _LEFT, _BELOW, _LINE = 420, 180, 40, 34, 16
_WINDOW = 5  # recorded steps that are averaged: a loss is that of one batch
Curve = list[tuple[float, float]]


class Axes(NamedTuple):
    """What the ends of the axes stand for, and the height of the plot."""

    step: float
    loss: float
    height: int

    def x(self, step: float) -> float:
        """Pixels from the left."""
        return _LEFT + (_WIDTH - _LEFT) * step / self.step

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
    palette = colours(point.key.place.label for point in shown)
    drawn = {}
    for task in dict.fromkeys(point.task for point in shown):
        drawable = [(p, curve) for p in shown if p.task == task and (curve := _mean(p, histories))]
        lines = {p.key.place.label: (curve, p.control) for p, curve in drawable}
        if len(lines) > 1:
            drawn[task] = _figure(lines, palette)
    return drawn


def _mean(point: Point, histories: Mapping[str, Sequence[Mapping[str, float]]]) -> Curve:
    """(step, loss), averaged over the seeds of a point and a few steps before each."""
    seeds = [histories[cell] for cell in point.cells if histories.get(cell)]
    length = min(map(len, seeds), default=0)
    means = [fmean(seed[i]["loss"] for seed in seeds) for i in range(length)]
    return [(seeds[0][i]["step"], fmean(means[max(0, i - _WINDOW + 1) : i + 1])) for i in range(length)]


def _figure(lines: Mapping[str, tuple[Curve, bool]], palette: Mapping[str, str]) -> str:
    ends = [curve[-1][0] for curve, _ in lines.values()]
    losses = [loss for curve, _ in lines.values() for _, loss in curve]
    axes = Axes(max(ends) or 1.0, max(losses) or 1.0, max(_HEIGHT, _LINE * len(lines)))
    parts = [*(_mark(value, axes) for value in (0.0, axes.loss / 2, axes.loss)), _steps(axes)]
    # names stand in the order in which their lines end
    for place, (name, (curve, control)) in enumerate(sorted(lines.items(), key=lambda line: -line[1][0][-1][1])):
        path = " ".join(f"{axes.x(step):.1f},{axes.y(loss):.1f}" for step, loss in curve)
        dash = ' stroke-dasharray="3 3"' if control else ""
        parts.append(f'<polyline points="{path}" fill="none" stroke="{palette[name]}" stroke-width="1.8"{dash}/>')
        parts.append(
            f'<text x="{_WIDTH + 10}" y="{14 + _LINE * place}" fill="{palette[name]}">{escape(name)}'
            f"<title>last loss {curve[-1][1]:.3f}</title></text>"
        )
    height = axes.height + _BELOW
    box = f'viewBox="0 -8 {_WIDTH + 170} {height}" width="{_WIDTH + 170}" height="{height}"'
    style = 'font-size="11" fill="currentColor" font-family="sans-serif"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} {style}>{"".join(parts)}</svg>'


def _steps(axes: Axes) -> str:
    places = ((_LEFT, 0, "start"), ((_LEFT + _WIDTH) / 2, "step", "middle"), (_WIDTH, axes.step, "end"))
    y = axes.height + 16
    return "".join(f'<text x="{x:.0f}" y="{y}" text-anchor="{anchor}">{label}</text>' for x, label, anchor in places)


def _mark(value: float, axes: Axes) -> str:
    y = axes.y(value)
    return (
        f'<line x1="{_LEFT - 4}" y1="{y:.1f}" x2="{_WIDTH}" y2="{y:.1f}" stroke="rgba(128,128,128,0.35)"/>'
        f'<text x="0" y="{y + 4:.1f}">{value:.2f}</text>'
    )

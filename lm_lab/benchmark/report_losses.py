"""Training loss of full fine-tuning over steps: what a pretrained start is worth beside random weights."""

from collections.abc import Mapping, Sequence
from html import escape
from statistics import fmean

from lm_lab.benchmark.curves import AVERAGE, Point
from lm_lab.benchmark.figures import colours, references
from lm_lab.benchmark.results import CellRecord

_WIDTH, _HEIGHT, _LEFT, _BELOW = 420, 180, 40, 34
_WINDOW = 5  # recorded steps that are averaged: a loss is that of one batch
Curve = list[tuple[float, float]]


def training_losses(points: Sequence[Point], records: Sequence[CellRecord]) -> str:
    """A figure a task, with a line a backbone; "" unless full fine-tuning ran on two backbones or more."""
    histories = {record["id"]: record.get("history", []) for record in records}
    full = references(points)
    shown = [point for point in points if point.key in full and point.task != AVERAGE]
    palette = colours(point.key.backbone for point in shown)
    figures = []
    for task in dict.fromkeys(point.task for point in shown):
        lines = {p.key.backbone: (curve, p.control) for p in shown if p.task == task and (curve := _mean(p, histories))}
        if len(lines) > 1:
            figures.append(f"<figure><figcaption>{escape(task)}</figcaption>{_figure(lines, palette)}</figure>")
    return "".join(figures)


def _mean(point: Point, histories: Mapping[str, Sequence[Mapping[str, float]]]) -> Curve:
    """(step, loss), averaged over the seeds of a point and a few steps before each."""
    seeds = [histories[cell] for cell in point.cells if histories.get(cell)]
    length = min(map(len, seeds), default=0)
    means = [fmean(seed[i]["loss"] for seed in seeds) for i in range(length)]
    return [(seeds[0][i]["step"], fmean(means[max(0, i - _WINDOW + 1) : i + 1])) for i in range(length)]


def _figure(lines: Mapping[str, tuple[Curve, bool]], palette: Mapping[str, str]) -> str:
    last = max(curve[-1][0] for curve, _ in lines.values())
    top = max(loss for curve, _ in lines.values() for _, loss in curve)
    parts = [_mark(value, top) for value in (0.0, top / 2, top)]
    parts += [_label(_LEFT, 0, "start"), _label(_WIDTH, last, "end"), _label((_LEFT + _WIDTH) / 2, "step", "middle")]
    for place, (name, (curve, control)) in enumerate(lines.items()):
        path = " ".join(f"{_x(step, last):.1f},{_y(loss, top):.1f}" for step, loss in curve)
        dash = ' stroke-dasharray="3 3"' if control else ""
        parts.append(f'<polyline points="{path}" fill="none" stroke="{palette[name]}" stroke-width="1.8"{dash}/>')
        parts.append(
            f'<text x="{_WIDTH + 10}" y="{14 + 16 * place}" fill="{palette[name]}">{escape(name)}'
            f"<title>last loss {curve[-1][1]:.3f}</title></text>"
        )
    height = max(_HEIGHT + _BELOW, 16 * len(lines) + 20)
    box = f'viewBox="0 -8 {_WIDTH + 170} {height}" width="{_WIDTH + 170}" height="{height}"'
    style = 'font-size="11" fill="currentColor" font-family="sans-serif"'
    return f"<svg {box} {style}>{''.join(parts)}</svg>"


def _x(step: float, last: float) -> float:
    return _LEFT + (_WIDTH - _LEFT) * step / last


def _y(loss: float, top: float) -> float:
    return _HEIGHT * (1 - loss / top)


def _mark(value: float, top: float) -> str:
    y = _y(value, top)
    return (
        f'<line x1="{_LEFT - 4}" y1="{y:.1f}" x2="{_WIDTH}" y2="{y:.1f}" stroke="rgba(128,128,128,0.35)"/>'
        f'<text x="0" y="{y + 4:.1f}">{value:.2f}</text>'
    )


def _label(x: float, text: object, anchor: str) -> str:
    return f'<text x="{x:.0f}" y="{_HEIGHT + 16}" text-anchor="{anchor}">{text}</text>'

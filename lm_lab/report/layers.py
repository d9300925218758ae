"""What a learned mix of layers gives to each: a bar a layer, a dot a seed."""

from collections.abc import Sequence
from html import escape
from statistics import fmean

from lm_lab.report.curves import Point
from lm_lab.results.records import CellRecord

_BAR, _STEP, _HEIGHT, _LEFT = 34, 52, 120, 34


def layer_weights(points: Sequence[Point], records: Sequence[CellRecord]) -> str:
    """A figure for each strategy that mixes layers, on each task, from the cells of its points; "" if none does."""
    known = {record["id"]: record.get("layer_weights", []) for record in records}
    figures = []
    for point in points:
        seeds = [known[cell] for cell in point.cells if any(known.get(cell, []))]
        if seeds and len({len(weights) for weights in seeds}) == 1:
            title = f"{point.key.method.label}, {point.key.backbone}, {point.task}"
            figures.append(f"<figure><figcaption>{escape(title)}</figcaption>{bars(seeds)}</figure>")
    return "".join(figures)


def bars(seeds: Sequence[Sequence[float]]) -> str:
    """An SVG of the mean weight of each layer; `seeds` holds one list of weights, summing to 1, a seed."""
    layers = len(seeds[0])
    top = max(max(weights) for weights in seeds)
    width = _LEFT + layers * _STEP
    parts = [_axis(value, top, width) for value in (0.0, 1 / layers)]
    for layer in range(layers):
        x, mean = _LEFT + layer * _STEP, fmean(weights[layer] for weights in seeds)
        height = _height(mean, top)
        label = f"layer {layer}" if layer else "embeddings"
        parts.append(
            f'<rect x="{x}" y="{_HEIGHT - height:.1f}" width="{_BAR}" height="{height:.1f}" fill="#1B7FC4">'
            f"<title>{label}: {mean:.3f}</title></rect>"
            f'<text x="{x + _BAR / 2}" y="{_HEIGHT + 16}" text-anchor="middle">{layer}</text>'
        )
        dots = [_HEIGHT - _height(weights[layer], top) for weights in seeds]
        parts += [f'<circle cx="{x + _BAR / 2}" cy="{y:.1f}" r="2.5" fill="#7A808C"/>' for y in dots]
    style = 'font-size="11" fill="currentColor" font-family="sans-serif"'
    box = f'viewBox="0 -8 {width} {_HEIGHT + 30}" width="{width}" height="{_HEIGHT + 30}"'
    return f"<svg {box} {style}>{''.join(parts)}</svg>"


def _height(weight: float, top: float) -> float:
    return weight / top * (_HEIGHT - 6)


def _axis(value: float, top: float, width: int) -> str:
    y = _HEIGHT - _height(value, top)
    return (
        f'<line x1="{_LEFT - 4}" y1="{y:.1f}" x2="{width}" y2="{y:.1f}" stroke="rgba(128,128,128,0.5)"/>'
        f'<text x="0" y="{y + 4:.1f}">{value:.2f}</text>'
    )

"""Senses told apart, layer by layer, as a small SVG on a white card: a line a backbone, bars for intervals."""

from collections.abc import Mapping, Sequence
from html import escape

from lm_lab.probing.senses import SenseLayer

WIDTH, HEIGHT = 760, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 215, 30, 52
_COLOURS = ("#1B7FC4", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#A58AFF", "#56B4E9", "#8C6D46")


def svg(lines: Mapping[str, Sequence[SenseLayer]], faded: frozenset[str] = frozenset()) -> str:
    """The picture.

    Args:
        lines: of each backbone, every layer.
        faded: those that are controls, drawn dotted.
    """
    values = [0.5, *(value for rows in lines.values() for row in rows for value in (row.low, row.high))]
    low, high = min(values) - 0.01, max(values) + 0.01
    deepest = max(row.layer for rows in lines.values() for row in rows)
    parts = [
        _grid(tick / 100, low, high) for tick in range(round(100 * low) // 5 * 5, 101, 5) if low <= tick / 100 <= high
    ]
    for layer in range(deepest + 1):
        parts.append(_text(_x(layer, deepest), HEIGHT - _BOTTOM + 20, str(layer), "#59636e", "middle"))
    for number, (name, rows) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        parts += _line(rows, colour, name in faded, (low, high), deepest)
        parts.append(f'<circle cx="{WIDTH - _RIGHT + 24}" cy="{_TOP + 12 + 24 * number}" r="4.5" fill="{colour}"/>')
        parts.append(_text(WIDTH - _RIGHT + 36, _TOP + 16 + 24 * number, name, "#1f2328", "start"))
    parts.append(_text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 12, "layer (0: embeddings)", "#1f2328", "middle"))
    turned = f'transform="rotate(-90 18 {(HEIGHT - _BOTTOM + _TOP) / 2})"'
    parts.append(
        _text(18, (HEIGHT - _BOTTOM + _TOP) / 2, "AUC, same against different sense", "#1f2328", "middle", turned)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" font-family="Helvetica, Arial, sans-serif" font-size="12.5"><rect width="{WIDTH}" '
        f'height="{HEIGHT}" rx="10" fill="#ffffff" stroke="#e4e7eb"/>{"".join(parts)}</svg>\n'
    )


def _line(rows: Sequence[SenseLayer], colour: str, faded: bool, frame: tuple[float, float], deepest: int) -> list[str]:
    at = [(_x(row.layer, deepest), _y(row.auc, *frame)) for row in rows]
    dash = ' stroke-dasharray="2 4"' if faded else ""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    parts = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>']
    for row, (x, y) in zip(rows, at, strict=True):
        ends = f'x1="{x:.1f}" x2="{x:.1f}" y1="{_y(row.low, *frame):.1f}" y2="{_y(row.high, *frame):.1f}"'
        parts.append(f'<line {ends} stroke="{colour}" stroke-width="1.4"/>')
        look = f'r="4.2" fill="{colour}" stroke="#fff"' if len(rows) > 1 else f'r="7" fill="none" stroke="{colour}"'
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" {look} stroke-width="2"/>')
    return parts


def _grid(value: float, low: float, high: float) -> str:
    y, colour = _y(value, low, high), "#7A808C" if value == 0.5 else "#e4e7eb"
    line = f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}"/>'
    return line + _text(_LEFT - 8, y + 4, f"{value:.2f}", "#59636e", "end")


def _x(layer: int, deepest: int) -> float:
    return _LEFT + 24 + (WIDTH - _RIGHT - _LEFT - 48) * (layer / deepest if deepest else 0.5)


def _y(value: float, low: float, high: float) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * (value - low) / (high - low)


def _text(x: float, y: float, words: str, colour: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" {more}>{escape(words)}</text>'

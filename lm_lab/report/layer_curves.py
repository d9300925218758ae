"""A picture of what each layer holds: a score with its interval against depth, a curve a model, as SVG."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from lm_lab.report import marks as shapes
from lm_lab.report.palette import Look, named

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 680, 340, 52, 210, 44, 46
_INK, _MUTED, _RULE = "#1f2328", "#59636e", "#e4e7eb"
_STEPS = (0.5, 1, 2, 5, 10, 20, 50)  # between rules, per cent
_DOTS = ' stroke-dasharray="1 4" stroke-linecap="round"'


class _Line(NamedTuple):
    look: Look
    dashes: str
    radius: float
    aside: float  # so far to the right, px


class Mark(NamedTuple):
    """A layer and its score, from 0 to 1, with the ends of its interval; both are the score where none is known."""

    layer: int
    score: float
    low: float
    high: float


Curves = Mapping[str, Sequence[Mark]]


def draw(path: Path, curves: Curves, title: str, controls: Curves | None = None, floor: float | None = None) -> None:
    """Write a picture; arguments as those of `svg`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(svg(curves, title, controls, floor), encoding="utf-8")


def svg(curves: Curves, title: str, controls: Curves | None = None, floor: float | None = None) -> str:
    """The picture; models of other depths share an axis from the embeddings to the last layer.

    Args:
        curves: name -> marks from layer 0 on; a model without layers is a line across.
        title: above it.
        controls: of some of these models with random weights; dotted, in the model's colour.
        floor: a score to draw as a rule, such as chance.
    """
    controls = {} if controls is None else controls
    frame = _frame([mark for marks in (*curves.values(), *controls.values()) for mark in marks], floor)
    palette = named(curves)
    parts = [_title(title), *_axes(frame), *_floor(floor, frame)]
    aside = {name: 4 * (place - (len(curves) - 1) / 2) for place, name in enumerate(curves)}  # bars stand beside others
    for name, marks in controls.items():
        parts += _curve(marks, frame, _Line(palette[name], _DOTS, 2, aside[name]))
    for name, marks in curves.items():
        dashes = ' stroke-dasharray="7 4"' if len(marks) == 1 else ""
        parts += _curve(marks, frame, _Line(palette[name], dashes, 3.6, aside[name]))
    ranked = sorted(curves, key=lambda name: -max(mark.score for mark in curves[name]))
    parts += _names(ranked, palette, bool(controls))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" role="img" aria-label="{escape(title)}" font-family="Helvetica, Arial, sans-serif">'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" rx="8" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _frame(marks: Sequence[Mark], floor: float | None) -> tuple[float, float]:
    ends = [value for mark in marks for value in (mark.low, mark.high)] + ([] if floor is None else [floor])
    pad = max(0.05 * (max(ends) - min(ends)), 0.005)
    return min(ends) - pad, max(ends) + pad


def _curve(marks: Sequence[Mark], frame: tuple[float, float], line: _Line) -> Iterator[str]:
    last = max(mark.layer for mark in marks)
    at = [(_x(mark.layer / last if last else 0.5) + line.aside, mark) for mark in marks]
    corners = [(x, _y(mark.score, frame)) for x, mark in at]
    if not last:
        corners = [(_x(0), corners[0][1]), (_x(1), corners[0][1])]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    yield f'<polyline points="{path}" fill="none" stroke="{line.look.colour}" stroke-width="2"{line.dashes}/>'
    for x, mark in at:
        if mark.low < mark.high:
            low, high = (_y(end, frame) for end in (mark.low, mark.high))
            yield f'<path d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="{line.look.colour}"/>'
        said = f"layer {mark.layer}: {100 * mark.score:.1f} ({100 * mark.low:.1f} to {100 * mark.high:.1f})"
        yield shapes.mark(line.look, x, _y(mark.score, frame), line.radius, said)


def _names(ranked: Sequence[str], palette: Mapping[str, Look], dotted: bool) -> Iterator[str]:
    """The best first, and what dots are."""
    step = min(19, (_HEIGHT - _TOP - 30) / len(ranked))
    for row, name in enumerate(ranked):
        y = _TOP + 10 + step * row
        yield shapes.mark(palette[name], _WIDTH - _RIGHT + 18, y - 4)
        yield shapes.named(_WIDTH - _RIGHT + 29, y, name, _RIGHT - 36, min(12.5, 0.8 * step), f'fill="{_INK}"')
    if dotted:
        y = _TOP + 16 + step * len(ranked)
        yield f'<path d="M{_WIDTH - _RIGHT + 8} {y - 4}h18" stroke="{_MUTED}" stroke-width="2"'
        yield f"{_DOTS}/>"
        yield _text(_WIDTH - _RIGHT + 32, y, "with random weights", 12.5, _MUTED)


def _axes(frame: tuple[float, float]) -> Iterator[str]:
    low, high = (100 * value for value in frame)
    step = next(s for s in _STEPS if (high - low) / s <= 7)
    value = step * -(-low // step)
    while value <= high:
        y = _y(value / 100, frame)
        yield f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="{_RULE}"/>'
        yield _text(_LEFT - 8, y + 4, f"{value:g}", 12, _MUTED, "end")
        value += step
    base = _HEIGHT - _BOTTOM + 20
    yield _text(_x(0), base, "embeddings", 12, _MUTED, "middle")
    yield _text(_x(0.5), base + 18, "depth", 12.5, _INK, "middle")
    yield _text(_x(1), base, "last layer", 12, _MUTED, "middle")


def _floor(floor: float | None, frame: tuple[float, float]) -> Iterator[str]:
    if floor is not None:
        yield f'<path d="M{_LEFT} {_y(floor, frame):.1f}H{_WIDTH - _RIGHT}" stroke="{_MUTED}"/>'


def _title(title: str) -> str:
    return shapes.named(_LEFT, 24, title, _WIDTH - _LEFT - 10, 15, f'fill="{_INK}" font-weight="600"')


def _x(share: float) -> float:
    return _LEFT + 34 + (_WIDTH - _RIGHT - _LEFT - 68) * share


def _y(value: float, frame: tuple[float, float]) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * (value - frame[0]) / (frame[1] - frame[0])


def _text(x: float, y: float, words: str, size: float, colour: str, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}">'
        f"{escape(words)}</text>"
    )

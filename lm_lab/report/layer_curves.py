"""A picture of what each layer holds: a score with its interval against depth, a curve a model, as SVG."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from lm_lab.report.figures import colours

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 340, 52, 190, 44, 46
_INK, _MUTED, _RULE = "#1f2328", "#59636e", "#e4e7eb"


class Mark(NamedTuple):
    """A layer and its score, from 0 to 1, with the ends of its interval."""

    layer: int
    score: float
    low: float
    high: float


def draw(curves: Mapping[str, Sequence[Mark]], title: str, path: Path, floor: float | None = None) -> Path:
    """Write a picture; models of other depths share an axis from the embeddings to the last layer.

    Args:
        curves: name -> marks from layer 0 on; a model without layers is a line across.
        title: above it.
        path: of the file.
        floor: a score to draw as a rule, such as chance.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(svg(curves, title, floor), encoding="utf-8")
    return path


def svg(curves: Mapping[str, Sequence[Mark]], title: str, floor: float | None = None) -> str:
    """The picture as text; arguments as those of `draw`."""
    ends = [value for marks in curves.values() for mark in marks for value in (mark.low, mark.high)]
    ends += [] if floor is None else [floor]
    low, high = min(ends), max(ends)
    pad = max(0.05 * (high - low), 0.005)
    frame = (low - pad, high + pad)
    parts = [_text(_LEFT, 24, title, 15, _INK, weight=600), *_axes(frame)]
    if floor is not None:
        y = _y(floor, frame)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="{_MUTED}" stroke-dasharray="4 4"/>')
    ranked = sorted(curves.items(), key=lambda curve: -max(mark.score for mark in curve[1]))
    palette = colours(curves)
    for row, (name, marks) in enumerate(ranked):
        parts += _curve(marks, frame, palette[name])
        y = _TOP + 10 + 19 * row
        parts.append(f'<circle cx="{_WIDTH - _RIGHT + 18}" cy="{y - 4}" r="4.5" fill="{palette[name]}"/>')
        parts.append(_text(_WIDTH - _RIGHT + 29, y, name, 12.5, _INK))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" role="img" aria-label="{escape(title)}" font-family="Helvetica, Arial, sans-serif">'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" rx="8" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _curve(marks: Sequence[Mark], frame: tuple[float, float], colour: str) -> Iterator[str]:
    last = max(mark.layer for mark in marks)
    at = [(_x(mark.layer / last if last else 0.5), mark) for mark in marks]
    line = [(x, _y(mark.score, frame)) for x, mark in at]
    if not last:
        line = [(_x(0), line[0][1]), (_x(1), line[0][1])]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in line)
    dashes = "" if last else ' stroke-dasharray="2 3"'
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'
    for x, mark in at:
        yield f'<path d="M{x:.1f} {_y(mark.low, frame):.1f}V{_y(mark.high, frame):.1f}" stroke="{colour}"/>'
        yield f'<circle cx="{x:.1f}" cy="{_y(mark.score, frame):.1f}" r="3.6" fill="{colour}"><title>'
        yield f"layer {mark.layer}: {100 * mark.score:.1f} ({100 * mark.low:.1f} to {100 * mark.high:.1f})"
        yield "</title></circle>"


def _axes(frame: tuple[float, float]) -> Iterator[str]:
    low, high = (100 * value for value in frame)
    step = next(s for s in (0.5, 1, 2, 5, 10, 20, 50) if (high - low) / s <= 7)
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


def _x(share: float) -> float:
    return _LEFT + 34 + (_WIDTH - _RIGHT - _LEFT - 68) * share


def _y(value: float, frame: tuple[float, float]) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * (value - frame[0]) / (frame[1] - frame[0])


def _text(x: float, y: float, words: str, size: float, colour: str, anchor: str = "start", weight: int = 400) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{escape(words)}</text>'
    )

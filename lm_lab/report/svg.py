"""The average trade-off figure as a small hand-written SVG on a white card, for a README or a paper draft."""

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

from lm_lab.report import text
from lm_lab.report.curves import Point, compares_backbones, curves
from lm_lab.report.figures import colours, references
from lm_lab.report.traces import zero_slot
from lm_lab.results.records import AVERAGE

WIDTH, HEIGHT = 860, 470
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 190, 62, 58
_INK, _MUTED, _RULE = "#1f2328", "#59636e", "#e4e7eb"
_ROWS = 10  # entries that the legend has room for with their numbers


class Frame(NamedTuple):
    """What the plot shows: log10 of the lowest and highest x, and of where nought is drawn if anything trains nothing;
    the lowest and highest score in points."""

    left: float
    right: float
    bottom: float
    top: float
    nought: float | None


def write_svg(points: Sequence[Point], title: str = "", task: str = AVERAGE) -> str:
    """Return an SVG of score against trained parameters (head included), one labelled curve a strategy.

    `points` hold those of `curves.average` where `task` is "average". Without any point it says so.
    """
    shown = curves([p for p in points if not p.control], task)
    listed = [p for curve in shown.values() for p in curve]
    body = [_text(_LEFT - 46, 32, title or f"Score against trained parameters: {task}", 17, _INK, weight=600)]
    if not listed:
        body.append(_text(_LEFT, HEIGHT / 2, "No finished cells yet.", 14, _MUTED))
    else:
        body += _drawing(shown, listed, points)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" aria-label="Score against trained parameters" '
        'font-family="Helvetica, Arial, sans-serif">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="10" fill="#ffffff" stroke="{_RULE}"/>'
        f"{''.join(body)}</svg>\n"
    )


def _drawing(
    shown: dict[tuple[str, str], list[Point]], listed: Sequence[Point], points: Sequence[Point]
) -> Iterable[str]:
    frame = _frame(listed)
    palette = colours(p.key.line.label for p in points)
    backbones = {backbone for backbone, _ in shown}
    yield from _axes(frame)
    full = frozenset() if compares_backbones(listed) else references(listed)
    for point in (p for p in listed if p.key in full):
        y = _y(100 * point.mean, frame)
        yield _line(_LEFT, y, WIDTH - _RIGHT, y, palette[point.key.line.label], 'stroke-dasharray="5 4"')
    crowded = len(shown) > _ROWS
    ranked = sorted(shown.items(), key=lambda item: -max(p.mean for p in item[1]))
    for rank, ((_, strategy), curve) in enumerate(ranked, start=1):
        yield from _curve(curve, frame, palette[strategy], f"{rank}" if crowded else "")
    ends = {
        (_label(curve[-1], strategy if len(backbones) == 1 else f"{strategy} · {backbone}"), palette[strategy]): max(
            curve, key=lambda p: p.mean
        )
        for (backbone, strategy), curve in shown.items()
    }
    yield from _legend(ends)


def _curve(curve: Sequence[Point], frame: Frame, colour: str, rank: str) -> Iterable[str]:
    at = [(_x(p.trained(), frame), _y(100 * p.mean, frame)) for p in curve]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.2"/>'
    for point, (x, y) in zip(curve, at, strict=True):
        ends = [100 * value for value in (point.interval.low, point.interval.high)]
        whole = all(frame.bottom <= value <= frame.top for value in ends)
        if whole:
            low, high = (_y(value, frame) for value in ends)
            yield _line(x, low, x, high, colour)
            yield from (_line(x - 3, end, x + 3, end, colour) for end in (low, high))
        for value in point.scores.values():
            yield f'<circle cx="{x + 9:.1f}" cy="{_y(100 * value, frame):.1f}" r="2" fill="{colour}" opacity=".4"/>'
        hollow = not whole and not math.isnan(point.interval.half)  # an interval that is wider than the picture
        fill = f'fill="#fff" stroke="{colour}"' if hollow else f'fill="{colour}" stroke="#fff"'
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.8" {fill} stroke-width="1.2">'
        yield f"<title>{escape(point.key.method.label)}: {text.plus_minus(point.interval)}</title></circle>"
        if hollow:
            side = -1 if x > WIDTH - _RIGHT - 80 else 1  # the legend begins there
            words = f"{rank or _size(point)} ({text.spread(point.interval)})".strip()
            yield _text(x + 9 * side, y + 15, words, 11, colour, "end" if side < 0 else "start")
        elif rank or point.key.size is not None:
            yield _text(x - 8, y - 8, rank or _size(point), 11, colour, "end")


def _size(point: Point) -> str:
    return "" if point.key.size is None else f"{point.key.size:g}"


def _legend(ends: dict[tuple[str, str], Point]) -> Iterable[str]:
    x, y = WIDTH - _RIGHT + 18, _TOP + 8
    ordered = sorted(ends.items(), key=lambda item: -item[1].mean)
    if len(ordered) > _ROWS:  # colours alone no longer tell them apart: numbers do
        step = (HEIGHT - _TOP - 16) / len(ordered)
        for row, ((label, colour), point) in enumerate(ordered):
            words = f"{row + 1}  {label}  {text.score(point.mean)}"
            yield _text(x, y + step * row, words, min(12.5, 0.8 * step), colour, weight=600)
        return
    for row, ((label, colour), point) in enumerate(ordered):
        top = y + 36 * row
        yield f'<circle cx="{x}" cy="{top}" r="5" fill="{colour}"/>'
        yield _text(x + 13, top + 4.5, label, 13.5, _INK, weight=600)
        detail = f"{text.plus_minus(point.interval)} at {text.count(point.trained())}"
        yield _text(x + 13, top + 19, detail, 11.5, _MUTED)


def _label(point: Point, label: str) -> str:
    return label if point.key.knob is None else f"{label} ({point.key.knob})"


def _axes(frame: Frame) -> Iterable[str]:
    step = next(s for s in (0.5, 1, 2, 5, 10, 20, 50) if (frame.top - frame.bottom) / s <= 8)
    for index in range(math.ceil(frame.bottom / step), math.floor(frame.top / step) + 1):
        y = _y(index * step, frame)
        yield _line(_LEFT, y, WIDTH - _RIGHT, y, _RULE)
        yield _text(_LEFT - 9, y + 4, f"{index * step:g}", 12, _MUTED, "end")
    first = frame.left if frame.nought is None else frame.nought + 0.2  # labels stand apart
    powers = [10**power for power in range(math.ceil(first), math.floor(frame.right) + 1)]
    for value in powers if frame.nought is None else [0, *powers]:
        x = _x(value, frame)
        yield _line(x, _TOP, x, HEIGHT - _BOTTOM, _RULE)
        yield _text(x, HEIGHT - _BOTTOM + 19, text.count(value) if value else "0", 12, _MUTED, "middle")
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    yield _text(middle, HEIGHT - 14, "trained parameters, head included (log scale)", 13, _INK, "middle")
    turn = f'transform="rotate(-90 20 {(_TOP + HEIGHT - _BOTTOM) / 2})"'
    yield _text(20, (_TOP + HEIGHT - _BOTTOM) / 2, "validation score", 13, _INK, "middle", extra=turn)


def _frame(listed: Sequence[Point]) -> Frame:
    trained = [p.trained() for p in listed]
    nought = math.log10(zero_slot([value for value in trained if value > 0])) if 0 in trained else None
    xs = [math.log10(value) for value in trained if value] + ([] if nought is None else [nought])
    seeds = [100 * v for p in listed for v in p.scores.values()]
    beyond = (max(seeds) - min(seeds)) / 4  # one wide interval must not squeeze all curves into a line
    edges = [100 * v for p in listed for v in (p.interval.low, p.interval.high) if not math.isnan(v)]
    ys = [*seeds, *(min(max(v, min(seeds) - beyond), max(seeds) + beyond) for v in edges)]
    pad = max(0.06 * (max(ys) - min(ys)), 0.5)
    wide = max(0.05 * (max(xs) - min(xs)), 0.15)
    return Frame(min(xs) - wide, max(xs) + wide, min(ys) - pad, max(ys) + pad, nought)


def _x(value: float, frame: Frame) -> float:
    place = frame.nought if frame.nought is not None and value == 0 else math.log10(value)
    return _LEFT + (WIDTH - _RIGHT - _LEFT) * (place - frame.left) / (frame.right - frame.left)


def _y(value: float, frame: Frame) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * (value - frame.bottom) / (frame.top - frame.bottom)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, extra: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {extra}/>'


def _text(
    x: float, y: float, words: str, size: float, colour: str, anchor: str = "start", weight: int = 400, extra: str = ""
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}" '
        f'font-weight="{weight}" {extra}>{escape(words)}</text>'
    )

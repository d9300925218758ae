"""The average trade-off figure as a small hand-written SVG on a white card, for a README or a paper draft."""

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

from lm_lab.report import text
from lm_lab.report.curves import Point, compares_backbones, curves
from lm_lab.report.figures import references, strategies
from lm_lab.report.marks import cut, mark, named
from lm_lab.report.palette import Look
from lm_lab.report.scale import Scale, scale
from lm_lab.report.traces import zero_slot
from lm_lab.results.records import AVERAGE

WIDTH, HEIGHT = 860, 470
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 232, 62, 58
_INK, _MUTED, _RULE = "#1f2328", "#59636e", "#e4e7eb"
_ROWS = 10  # entries that the legend has room for with their numbers
_NAMES = 32  # and without


class Frame(NamedTuple):
    """What the plot shows: log10 of the lowest and highest x, and of where nought is drawn if anything trains nothing;
    the scores."""

    left: float
    right: float
    scores: Scale
    nought: float | None


def write_svg(points: Sequence[Point], title: str = "", task: str = AVERAGE) -> str:
    """Return an SVG of score against trained parameters (head included), one labelled curve a strategy.

    `points` hold those of `curves.average` where `task` is "average". Without any point it says so.
    """
    shown = curves([p for p in points if not p.control], task)
    listed = [p for curve in shown.values() for p in curve]
    heading = title or f"Score against trained parameters: {task}"
    body = [named(_LEFT - 46, 32, heading, WIDTH - _LEFT, 17, f'fill="{_INK}" font-weight="600"')]
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
    palette = strategies(points)
    backbones = {backbone for backbone, _ in shown}
    yield from _axes(frame)
    full = frozenset() if compares_backbones(listed) else references(listed)
    for point in (p for p in listed if p.key in full):
        y = _y(100 * point.mean, frame)
        yield _line(_LEFT, y, WIDTH - _RIGHT, y, palette[point.key.line.label].colour, 'stroke-dasharray="5 4"')
    crowded = len(shown) > _ROWS
    ranked = sorted(shown.items(), key=lambda item: -max(p.mean for p in item[1]))
    for rank, ((_, strategy), curve) in enumerate(ranked, start=1):
        yield from _curve(curve, frame, palette[strategy], f"{rank}" if crowded else "")
    best = [max(curve, key=lambda p: p.mean) for _, curve in ranked]
    names = [_label(curve[-1], method if len(backbones) == 1 else f"{method} · {on}") for (on, method), curve in ranked]
    yield from _legend(names, best, [palette[method] for (_, method), _ in ranked])


def _curve(curve: Sequence[Point], frame: Frame, look: Look, rank: str) -> Iterable[str]:
    colour, ends = look.colour, frame.scores
    at = [(_x(p.trained(), frame), _y(100 * p.mean, frame)) for p in curve]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.2"/>'
    for point, (x, y) in zip(curve, at, strict=True):
        known = not math.isnan(point.interval.half)
        whole = known and not any(ends.beyond(100 * end) for end in (point.interval.low, point.interval.high))
        if known:
            low, high = (_y(100 * value, frame) for value in (point.interval.low, point.interval.high))
            yield _line(x, low, x, high, colour)
        if whole:
            yield from (_line(x - 3, end, x + 3, end, colour) for end in (low, high))
        for value in point.scores.values():
            yield _seed(x + 9, 100 * value, frame, colour)
        said = f"{point.key.method.label}: {text.plus_minus(point.interval)}"
        yield _arrow(x, 100 * point.mean, frame, colour, said) or mark(
            look, x, y, 4.8, said, _fill(known and not whole, colour)
        )
        if known and not whole:
            side = -1 if x > WIDTH - _RIGHT - 80 else 1  # the legend begins there
            words = f"{rank or _size(point)} ({text.spread(point.interval)})".strip()
            yield _text(
                x + 9 * side, min(y + 15, HEIGHT - _BOTTOM - 4), words, 11, _INK, "end" if side < 0 else "start"
            )
        elif rank or point.key.size is not None:
            yield _text(x - 8, y - 8, rank or _size(point), 11, _INK, "end")


def _fill(hollow: bool, colour: str) -> str:
    """Hollow: the interval is wider than the picture."""
    return f'fill="{"#fff" if hollow else colour}" stroke="{colour if hollow else "#fff"}" stroke-width="1.2"'


def _seed(x: float, score: float, frame: Frame, colour: str) -> str:
    arrow = _arrow(x, score, frame, colour, f"{score:.1f}", size=3.0)
    return arrow or f'<circle cx="{x:.1f}" cy="{_y(score, frame):.1f}" r="2" fill="{colour}" opacity=".4"/>'


def _arrow(x: float, score: float, frame: Frame, colour: str, said: str, size: float = 6.0) -> str:
    """At the end of the axis, of a score that lies beyond it; "" for others."""
    if not frame.scores.beyond(score):
        return ""
    y, way = _y(score, frame), 1 if score < frame.scores.bottom else -1
    path = f"M{x - size:.1f} {y - way * size:.1f}h{2 * size:g}L{x:.1f} {y:.1f}z"
    return f'<path d="{path}" fill="{colour}" class="beyond"><title>{escape(said)}</title></path>'


def _size(point: Point) -> str:
    return "" if point.key.size is None else f"{point.key.size:g}"


def _legend(names: Sequence[str], best: Sequence[Point], seen: Sequence[Look]) -> Iterable[str]:
    """Names and the best scores of curves, in their order."""
    x, y, room = WIDTH - _RIGHT + 18, _TOP + 8, _RIGHT - 38
    if len(names) <= _ROWS:
        for row, (name, point, look) in enumerate(zip(names, best, seen, strict=True)):
            top = y + 36 * row
            yield mark(look, x, top, 5)
            yield named(x + 13, top + 4.5, name, room, 13.5, f'fill="{_INK}" font-weight="600"')
            detail = f"{text.plus_minus(point.interval)} at {text.count(point.trained())}"
            yield named(x + 13, top + 19, detail, room + 10, 11.5, f'fill="{_MUTED}"')
        return
    step = (HEIGHT - _TOP - 16) / min(len(names), _NAMES + 1)  # numbers stand at the points
    size = min(12.5, 0.8 * step)
    for row, (name, point, look) in enumerate(zip(names[:_NAMES], best, seen, strict=False)):
        yield mark(look, x, y + step * row - 0.35 * size, min(4.5, 0.36 * size))
        words = f"{row + 1}  {cut(name, room - 5 * size, size)}  {text.score(point.mean)}"
        whole = f"<title>{escape(name)}</title>"
        yield _text(x + 11, y + step * row, words, size, _INK).replace("</text>", f"{whole}</text>")
    if len(names) > _NAMES:
        yield _text(x + 11, y + step * _NAMES, f"and {len(names) - _NAMES} below these", size, _MUTED)


def _label(point: Point, label: str) -> str:
    return label if point.key.knob is None else f"{label} ({point.key.knob})"


def _axes(frame: Frame) -> Iterable[str]:
    bottom, top = frame.scores
    step = next(s for s in (0.5, 1, 2, 5, 10, 20, 50) if (top - bottom) / s <= 8)
    for index in range(math.ceil(bottom / step), math.floor(top / step) + 1):
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
    wide = max(0.05 * (max(xs) - min(xs)), 0.15)
    return Frame(min(xs) - wide, max(xs) + wide, scale(listed), nought)


def _x(value: float, frame: Frame) -> float:
    place = frame.nought if frame.nought is not None and value == 0 else math.log10(value)
    return _LEFT + (WIDTH - _RIGHT - _LEFT) * (place - frame.left) / (frame.right - frame.left)


def _y(value: float, frame: Frame) -> float:
    bottom, top = frame.scores
    return HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * (frame.scores.at(value) - bottom) / (top - bottom)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, extra: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {extra}/>'


def _text(x: float, y: float, words: str, size: float, colour: str, anchor: str = "start", extra: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}" '
        f"{extra}>{escape(words)}</text>"
    )

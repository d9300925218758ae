"""Markers and names in SVG: the shapes that Plotly draws, and names that end in dots where there is no room."""

import math
from html import escape

from lm_lab.report.palette import Look

_WIDE = 0.56  # of a letter, in its size: the mean of small letters in Helvetica
_TURNS = {"diamond": (4, 1.25), "square": (4, 1.25), "triangle-up": (3, 1.3)}  # corners, and how far out they are


def mark(look: Look, x: float, y: float, radius: float = 4.5, title: str = "", extra: str = "") -> str:
    """A marker at a place; `title` is what it says when it is pointed at, `extra` more attributes."""
    fill = extra if "fill=" in extra else f'fill="{look.colour}" {extra}'.rstrip()
    said = f"<title>{escape(title)}</title>" if title else ""
    if look.symbol == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" {fill}>{said}</circle>'
    corners = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in _corners(look.symbol, radius))
    return f'<polygon points="{corners}" {fill}>{said}</polygon>'


def _corners(symbol: str, radius: float) -> list[tuple[float, float]]:
    """Around nought, from the top or the top right on."""
    if symbol == "star":
        return [_at(36 * turn, radius * (1.45 if turn % 2 == 0 else 0.6)) for turn in range(10)]
    if symbol == "x":  # four arms, each with two corners, and what is between them
        far, gap = radius * 1.35, 23
        arms = [[_at(90 * arm + 45 - gap, far), _at(90 * arm + 45 + gap, far), _at(90 * arm + 90, radius * 0.6)]
                for arm in range(4)]  # fmt: skip
        return [corner for arm in arms for corner in arm]
    count, out = _TURNS[symbol]
    start = 45 if symbol == "square" else 0
    return [_at(start + 360 * turn / count, radius * out) for turn in range(count)]


def _at(degrees: float, far: float) -> tuple[float, float]:
    return far * math.sin(math.radians(degrees)), -far * math.cos(math.radians(degrees))


def swatch(look: Look) -> str:
    """A marker to stand in a line of text."""
    return f'<svg class="swatch" viewBox="-7 -7 14 14" aria-hidden="true">{mark(look, 0, 0)}</svg>'


def named(x: float, y: float, words: str, room: float, size: float, extra: str = "") -> str:
    """A name, cut to `room` units with dots at its end; the whole of it is its title then."""
    shown = cut(words, room, size)
    title = f"<title>{escape(words)}</title>" if shown != words else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" {extra}>{escape(shown)}{title}</text>'


def cut(words: str, room: float, size: float) -> str:
    """As much of the words as there is room for."""
    letters = max(2, int(room / (_WIDE * size)))
    return words if len(words) <= letters else f"{words[: letters - 1].rstrip()}…"

"""Words and their neighbours in a plane: the first two principal components of their directions, as an SVG."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from lm_lab.words.vectors import WordVectors

WIDTH, HEIGHT = 860, 560
_EDGE, _LINE, _LETTER = 46, 14, 6.6  # pixels around, of a line of text, of a letter
_COLOURS = (
    "#1B7FC4",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#B8860B",
    "#7A808C",
    "#56B4E9",
    "#A58AFF",
    "#8C6D46",
    "#C2185B",
)
Box = tuple[float, float, float, float]


class Place(NamedTuple):
    """A word, the number of the word that it is drawn with, where it lies; whether it is that word itself."""

    word: str
    group: int
    x: float
    y: float
    asked: bool


def places(vectors: WordVectors, words: Sequence[str], count: int) -> tuple[list[Place], float]:
    """Words and so many neighbours of each, and the share of variance that the plane has.

    Directions are centred. A word that is near several is drawn with the first.

    Raises:
        UsageError: a word has no vector.
    """
    group = {word: number for number, word in reversed(list(enumerate(words)))}
    for number, word in enumerate(words):
        for near, _ in vectors.nearest(word, count):
            group.setdefault(near, number)
    directions = np.stack([vectors.direction(word) for word in group]).astype(np.float64)
    centred = directions - directions.mean(0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    plane = left[:, :2] * sizes[:2]
    plane *= np.where(plane[np.abs(plane).argmax(0), [0, 1]] < 0, -1, 1)  # else the sign is the library's
    share = float((sizes[:2] ** 2).sum() / max((sizes**2).sum(), 1e-12))
    found = [Place(word, group[word], x, y, word in words) for word, (x, y) in zip(group, plane.tolist(), strict=True)]
    return found, share


def svg(found: Sequence[Place], share: float) -> str:
    """The picture; a colour is a word that was asked for, with its neighbours."""
    xs, ys = (np.array([getattr(place, axis) for place in found]) for axis in "xy")
    across = _EDGE + (xs - xs.min()) / max(float(np.ptp(xs)), 1e-9) * (WIDTH - 3 * _EDGE)
    down = HEIGHT - _EDGE - (ys - ys.min()) / max(float(np.ptp(ys)), 1e-9) * (HEIGHT - 2.4 * _EDGE)
    order = sorted(range(len(found)), key=lambda row: not found[row].asked)
    taken, parts = [(x - 3, y - 3, x + 3, y + 3) for x, y in zip(across, down, strict=True)], list[str]()
    for row in order:
        parts += _word(found[row], float(across[row]), float(down[row]), taken)
    card = f'<rect width="{WIDTH}" height="{HEIGHT}" rx="10" fill="#ffffff" stroke="#e4e7eb"/>'
    note = f"two principal components: {100 * share:.0f}% of the variance of these {len(found)} words"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" font-family="Helvetica, Arial, sans-serif">{card}{"".join(parts)}'
        f'<text x="{_EDGE}" y="{HEIGHT - 12}" font-size="12" fill="#59636e">{note}</text></svg>\n'
    )


def _word(place: Place, x: float, y: float, taken: list[Box]) -> list[str]:
    colour, size = _COLOURS[place.group % len(_COLOURS)], 14.5 if place.asked else 12
    width = len(place.word) * _LETTER * size / 12 * (1.1 if place.asked else 1)
    left, top = _free(x, y, width, taken)
    style = f'font-size="{size}" fill="{colour}"' + (' font-weight="700"' if place.asked else "")
    parts = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{4.6 if place.asked else 2.8}" fill="{colour}"/>']
    if abs(top + _LINE / 2 - y) > _LINE:
        to_x, to_y = min(max(x, left), left + width), top + (0 if top > y else _LINE)  # the label's nearest edge
        ends = f'x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"'
        parts.append(f'<line {ends} stroke="{colour}" opacity=".4"/>')
    return [*parts, f'<text x="{left:.1f}" y="{top + 11:.1f}" {style}>{escape(place.word)}</text>']


def _free(x: float, y: float, width: float, taken: list[Box]) -> tuple[float, float]:
    """Where a label lies on no other: beside its point, else a line or more above or below."""
    tried = [
        (x + side, y - _LINE / 2 + step * 5)
        for step in sorted(range(-14, 15), key=abs)
        for side in (7.0, -7.0 - width)
        if 4 <= x + side <= WIDTH - width - 4
    ] or [(x, y)]
    for left, top in tried:
        box = (left, top, left + width, top + _LINE)
        if not any(a < box[2] and c > box[0] and b < box[3] and d > box[1] for a, b, c, d in taken):
            break
    else:
        left, top = tried[0]
    taken.append((left, top, left + width, top + _LINE))
    return left, top

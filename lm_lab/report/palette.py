"""How a curve looks: a colour for a family of strategies and a marker for each of its members.

Any two of the eight colours differ by 11 or more (CIEDE2000) also for people who lack one kind of cone, and each has a
contrast of 3 on white and on near-black (tests/report/test_palette.py). Curves of one colour
differ in their marker.
"""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import NamedTuple

from lm_lab.report.families import OWN

FAMILIES = {
    "fine-tuning": "#7a808c",
    "features": "#cc77bb",
    "adapters": "#22aa55",
    "updates": "#7744ff",
    "chosen weights": "#ee6622",
    "prompts": "#cc0066",
    "compounds": "#007766",
    OWN: "#776633",
}
REFERENCE = FAMILIES["fine-tuning"]
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "star")  # as Plotly calls them


class Look(NamedTuple):
    """Of one curve."""

    colour: str
    symbol: str


_COLOURS = (FAMILIES[OWN], *(colour for name, colour in FAMILIES.items() if name != OWN))
_EVERY = [Look(colour, symbol) for symbol, colour in product(SYMBOLS, _COLOURS)]


def looks(families: Mapping[str, str]) -> dict[str, Look]:
    """Return a look for each name, given its family.

    The members of a family have its colour and a marker each, by name. Those that are left, the seventh of a family and
    more, take what nobody has. From the 49th on looks come again. Where nothing has a family, colours vary first.
    """
    if set(families.values()) <= {OWN}:
        return named(families)
    found: dict[str, Look] = {}
    for family, colour in FAMILIES.items():
        members = sorted(
            (name for name, of in families.items() if of == family), key=lambda name: (name != "full", name)
        )
        found |= {name: Look(colour, symbol) for name, symbol in zip(members, SYMBOLS, strict=False)}
    free = [look for look in _EVERY if look not in found.values()] or _EVERY
    left = [name for name in sorted(families) if name not in found]
    return found | {name: free[at % len(free)] for at, name in enumerate(left)}


def named(names: Iterable[str]) -> dict[str, Look]:
    """Looks of what is of no family: models, places, classes of one's own."""
    return {name: _EVERY[at % len(_EVERY)] for at, name in enumerate(sorted(set(names)))}

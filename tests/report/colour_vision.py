"""How far apart two colours look, and to whom: CIEDE2000, and vision without one kind of cone.

Sharma, Wu, Dalal 2005 (the formula and its test pairs); Machado, Oliveira, Fernandes 2009 (the simulation, severity 1).
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_WHITE = np.array([0.95047, 1.0, 1.08883])  # D65
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
VISIONS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def linear(colour: str) -> Array:
    """Linear light (3,) of "#rrggbb"."""
    value = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(colour: str, vision: str = "normal") -> Array:
    """CIE L*a*b* (3,) of a colour as it is seen."""
    xyz = _TO_XYZ @ np.clip(VISIONS[vision] @ linear(colour), 0, 1) / _WHITE
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def difference(one: Array, other: Array) -> float:
    """CIEDE2000 between two colours in L*a*b*."""
    chroma = np.mean([np.hypot(*one[1:]), np.hypot(*other[1:])])
    stretch = 1.5 - 0.5 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7))
    (c1, h1), (c2, h2) = (_polar(colour[1] * stretch, colour[2]) for colour in (one, other))
    turn = (h2 - h1 + 180) % 360 - 180 if c1 * c2 else 0.0
    turn = -180.0 if abs(turn) == 180 and h2 < h1 else turn
    hue = h1 + h2 if not c1 * c2 else (h1 + h2) / 2
    if c1 * c2 and abs(h1 - h2) > 180:
        hue += 180 if h1 + h2 < 360 else -180
    light, chroma = (one[0] + other[0]) / 2, (c1 + c2) / 2
    wave = 1 - 0.17 * _cos(hue - 30) + 0.24 * _cos(2 * hue) + 0.32 * _cos(3 * hue + 6) - 0.2 * _cos(4 * hue - 63)
    dl = (other[0] - one[0]) / (1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2))
    dc = (c2 - c1) / (1 + 0.045 * chroma)
    dh = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2)) / (1 + 0.015 * chroma * wave)
    tilt = np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2)))) * 2 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7))
    return float(np.sqrt(dl**2 + dc**2 + dh**2 - tilt * dc * dh))


def contrast(one: str, other: str) -> float:
    """Of the web's guidelines, from 1 to 21."""
    low, high = sorted(float(_TO_XYZ[1] @ linear(colour)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def _polar(a: float, b: float) -> tuple[float, float]:
    return float(np.hypot(a, b)), float(np.degrees(np.arctan2(b, a)) % 360)


def _cos(degrees: float) -> float:
    return float(np.cos(np.radians(degrees)))

"""Numbers and names as a reader wants them; shared by the figures, the tables and the page."""

import math
from collections.abc import Mapping
from typing import Any

from lm_lab.metrics.uncertainty import Interval
from lm_lab.report.curves import Point

NONE = "–"


def score(value: float, signed: bool = False) -> str:
    """Return a fraction as points out of 100, with one decimal; no nought has a minus."""
    if math.isnan(value):
        return NONE
    return f"{100 * value:{'+' if signed else ''}z.1f}".replace("-", "−")


def plus_minus(interval: Interval) -> str:
    """Return "81.2 ± 0.9", "99.3 −1.5/+0.7" where the scale ends, or the bare mean where one seed has no interval."""
    return f"{score(interval.mean)} {spread(interval)}".rstrip()


def spread(interval: Interval) -> str:
    """Return how far an interval goes from its mean: "± 0.9", or "−1.5/+0.7" where the scale ends before that."""
    if math.isnan(interval.half):
        return ""
    return around(score(interval.mean - interval.low), score(interval.high - interval.mean))


def around(below: str, above: str) -> str:
    """Return "± 0.9" where both sides are as long, else "−1.5/+0.7"."""
    return f"± {below}" if below == above else f"−{below}/+{above}"


def count(value: float) -> str:
    """Return 76802 as "76.8k"."""
    return _scaled(value, 1000, ("", "k", "M", "B"), "")


def size(value: float) -> str:
    """Return bytes as "307 kB" (1 kB = 1000 bytes)."""
    return _scaled(value, 1000, ("B", "kB", "MB", "GB", "TB"), " ")


def seconds(value: float) -> str:
    """Return a duration as "12.3 s", "4.1 min" or "2.5 h"."""
    if math.isnan(value):
        return NONE
    if value < 100:
        return f"{value:.3g} s"
    return f"{value / 60:.3g} min" if value < 6000 else f"{value / 3600:.3g} h"


def percent(value: float) -> str:
    """Return a fraction as a percentage with the digits it deserves: 100%, 4.3%, 0.44%, 0.003%."""
    if math.isnan(value):
        return NONE
    return f"{100 * value:.3g}%" if value >= 0.1 else f"{100 * value:.2g}%"


def p_value(value: float) -> str:
    """Return a p-value with the precision it has."""
    return NONE if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def setting(tuned: Mapping[str, Any]) -> str:
    """Return the tuned values as "learning_rate 0.001"."""
    return ", ".join(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in tuned.items()) or NONE


def hover(point: Point, seed: int | None = None) -> str:
    """Return the lines that a figure shows for a point, or for one of its seeds."""
    ledger = point.ledger
    trained = ledger.get("trained", math.nan)
    parts = [count(ledger.get(part, math.nan)) for part in ("backbone_trained", "added", "head")]
    lines = [f"<b>{point.key.method.label}</b> · {point.key.backbone} · {point.task}"]
    if seed is None:
        lines.append(f"score {plus_minus(point.interval)} (mean of {point.interval.n} seeds, 95% interval)")
    else:
        lines.append(f"score {score(point.scores[seed])} (seed {seed})")
    if point.tuned:
        lines.append(f"selected: {setting(point.tuned)}")
    lines.append(f"trained {trained:,.0f} ({percent(point.share)})")
    lines.append("= {} in the backbone + {} added + {} head".format(*parts))
    compiled = f", {point.compiled}" if point.compiled else ""
    lines.append(f"train {seconds(point.train_seconds)}{compiled} · stored {size(ledger.get('delta_bytes', math.nan))}")
    lines.append(f"peak memory {size(point.peak_bytes)}")
    return "<br>".join([*lines, *point.notes])


def _scaled(value: float, base: int, units: tuple[str, ...], gap: str) -> str:
    if math.isnan(value):
        return NONE
    power = 0
    while abs(value) >= base * 0.9995 and power < len(units) - 1:
        value, power = value / base, power + 1
    number = f"{value:.0f}" if power == 0 or abs(value) >= 99.95 else f"{value:.3g}"
    return f"{number}{gap}{units[power]}"

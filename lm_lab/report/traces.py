"""What a figure draws of one curve, as plain data: its means with their intervals, and the seeds beside them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lm_lab.report import text
from lm_lab.report.curves import Point


@dataclass(frozen=True)
class Axis:
    """What a figure's horizontal axis shows."""

    title: str
    value: Callable[[Point], float]
    tick: Callable[[float], str]
    beside: float = 1.0  # how far right of its mean a seed is drawn, as a factor


AXES = {
    "parameters": Axis("trained parameters, head included", Point.trained, text.count, 1.11),
    "time": Axis("training seconds (processor time on a CPU)", lambda p: p.train_seconds, "{:g} s".format),
    "bytes": Axis("bytes stored for a task", lambda p: p.ledger.get("delta_bytes", math.nan), text.size, 1.11),
    "memory": Axis("peak memory while training", lambda p: p.peak_bytes, text.size),
}
HEADLESS = Axis("trained parameters, head left out", lambda p: p.trained(head=False), text.count, 1.11)


def traces(
    curve: Sequence[Point], axis: Axis, zero: float, label: str, colour: str, symbol: str
) -> list[dict[str, Any]]:
    """Two scatters of one curve, of its means and of its seeds; `zero` is where nought is drawn."""
    control = curve[0].control
    shared: dict[str, Any] = {
        "legendgroup": label,
        "opacity": 0.65 if control else 1,
        "hovertemplate": "%{text}<extra></extra>",
    }
    shared |= {"meta": {"control": control}}
    ends = [(p.interval.high - p.mean, p.mean - p.interval.low) for p in curve]
    above, below = ([0 if math.isnan(end) else round(100 * end, 3) for end in side] for side in zip(*ends, strict=True))
    means = _scatter(
        name=label,
        x=positions(curve, axis, zero),
        y=[round(100 * p.mean, 3) for p in curve],
        text=[text.hover(p) for p in curve],
        mode="lines+markers",
        line={"color": colour, "width": 2, "dash": "dot" if control else "solid"},
        marker={"size": 9, "symbol": f"{symbol}-open" if control else symbol, "color": colour},
        error_y={"array": above, "arrayminus": below, "color": colour, "thickness": 1.3, "width": 3},
        **shared,
    )
    each = [(p, seed) for p in curve for seed in p.scores]
    seeds = _scatter(
        name=f"{label}, seeds",
        showlegend=False,
        x=positions([p for p, _ in each], axis, zero, beside=True),
        y=[round(100 * p.scores[seed], 3) for p, seed in each],
        text=[text.hover(p, seed) for p, seed in each],
        mode="markers",
        marker={"size": 5, "symbol": symbol, "color": colour, "opacity": 0.45},
        **shared,
    )
    return [means, seeds]


def zero_slot(positive: Sequence[float]) -> float:
    """Where a log axis puts nought: half a decade left of the smallest value."""
    return min(positive, default=1.0) / 10**0.5


def positions(curve: Sequence[Point], axis: Axis, zero: float, beside: bool = False) -> list[float | None]:
    """Seeds are drawn a little to the right of their mean, or its marker would hide them; None: not known."""
    factor = axis.beside if beside else 1.0
    values = [(axis.value(point) or zero) * factor for point in curve]
    return [None if math.isnan(value) else value for value in values]


def _scatter(**settings: Any) -> dict[str, Any]:
    return {"type": "scatter", **settings}

"""What a figure draws of one curve, as plain data: its means with their intervals, and the seeds beside them."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lm_lab.report import text
from lm_lab.report.curves import Point
from lm_lab.report.palette import Look
from lm_lab.report.scale import Scale


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
    curve: Sequence[Point], label: str, look: Look, ends: Scale, reference: bool = False, mixed: bool = False
) -> list[dict[str, Any]]:
    """Two scatters of a curve, its means and its seeds, still without their x.

    A `reference` gets a line; where compiled and other training is `mixed`, what was compiled has a dot in its marker.
    """
    control, key = curve[0].control, curve[0].key
    shared: dict[str, Any] = {
        "legendgroup": label,
        "opacity": 0.65 if control else 1,
        "hovertemplate": "%{text}<extra></extra>",
    }
    about: dict[str, Any] = {"line": key.line.label, "backbone": key.backbone, "family": curve[0].family}
    about |= {"task": curve[0].task, "reference": reference}
    shared |= {"meta": {"control": control, **about}}
    symbols = _symbols([p.mean for p in curve], look, ends, control)
    means = _scatter(
        name=label,
        y=[round(ends.at(100 * p.mean), 3) for p in curve],
        text=[text.hover(p) for p in curve],
        mode="lines+markers",
        line={"color": look.colour, "width": 2, "dash": "dot" if control else "solid"},
        marker={"size": 9, "symbol": _marked(symbols, curve) if mixed else symbols, "color": look.colour},
        error_y={**_bars(curve, ends), "color": look.colour, "thickness": 1.3, "width": 3},
        **shared,
    )
    each = [(p, seed) for p in curve for seed in p.scores]
    seeds = _scatter(
        name=f"{label}, seeds",
        showlegend=False,
        y=[round(ends.at(100 * p.scores[seed]), 3) for p, seed in each],
        text=[text.hover(p, seed) for p, seed in each],
        mode="markers",
        marker={"size": 5, "symbol": _symbols([p.scores[seed] for p, seed in each], look, ends), "color": look.colour}
        | {"opacity": 0.45},
        **shared,
    )
    return [means, seeds]


def _symbols(scores: Sequence[float], look: Look, ends: Scale, control: bool = False) -> str | list[str]:
    """The marker; where a score lies beyond the axis, an arrow that says where."""
    own = f"{look.symbol}-open" if control else look.symbol
    if not any(ends.beyond(100 * score) for score in scores):
        return own
    arrows = {True: "arrow-up", False: "arrow-down"}
    return [arrows[100 * score > ends.top] if ends.beyond(100 * score) else own for score in scores]


def _marked(symbols: str | list[str], curve: Sequence[Point]) -> str | list[str]:
    """With a dot where training was compiled, be it in part; an arrow has none to carry."""
    if not any(p.compiled for p in curve):
        return symbols
    each = [symbols] * len(curve) if isinstance(symbols, str) else symbols
    pairs = zip(each, curve, strict=True)
    return [f"{symbol}-dot" if p.compiled and "arrow" not in symbol else symbol for symbol, p in pairs]


def _bars(curve: Sequence[Point], ends: Scale) -> dict[str, list[float]]:
    """The intervals, as far as the axis goes."""
    sides = [(ends.at(100 * p.interval.high), ends.at(100 * p.mean), ends.at(100 * p.interval.low)) for p in curve]
    whole = [not math.isnan(p.interval.half) for p in curve]
    above = [round(high - mean, 3) if known else 0 for (high, mean, _), known in zip(sides, whole, strict=True)]
    below = [round(mean - low, 3) if known else 0 for (_, mean, low), known in zip(sides, whole, strict=True)]
    return {"array": above, "arrayminus": below}


def zero_slot(positive: Sequence[float]) -> float:
    """Where a log axis puts nought: half a decade left of the smallest value."""
    return min(positive, default=1.0) / 10**0.5


def across(shown: Iterable[Sequence[Point]], axis: Axis) -> list[list[float | None]]:
    """The x of every trace of these curves."""
    listed = list(shown)
    zero = zero_slot([value for curve in listed for value in map(axis.value, curve) if value > 0])
    repeated = [[p for p in curve for _ in p.scores] for curve in listed]
    pairs = zip(listed, repeated, strict=True)
    return [x for one, each in pairs for x in (positions(one, axis, zero), positions(each, axis, zero, beside=True))]


def positions(curve: Sequence[Point], axis: Axis, zero: float, beside: bool = False) -> list[float | None]:
    """Seeds are drawn a little to the right of their mean, or its marker would hide them; None: not known."""
    factor = axis.beside if beside else 1.0
    values = [(axis.value(point) or zero) * factor for point in curve]
    return [None if math.isnan(value) else value for value in values]


def _scatter(**settings: Any) -> dict[str, Any]:
    return {"type": "scatter", **settings}

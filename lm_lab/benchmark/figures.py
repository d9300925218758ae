"""Trade-off curves as Plotly figures: score against trained parameters, time, stored bytes and peak memory.

A colour is a strategy everywhere, a marker is a backbone. Large markers are means with the t interval over
seeds, small ones the seeds; the dashed line is full fine-tuning; control backbones are faded and dotted.
Backgrounds are transparent, and every colour is readable on white and on near-black.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lm_lab.benchmark import report_text as text
from lm_lab.benchmark.curves import Point, curves

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Okabe and Ito's colour-blind-safe set without its black and yellow; grey is kept for full fine-tuning.
COLOURS = {
    "probe": "#CC79A7",
    "partial": "#E69F00",
    "full": "#7A808C",
    "adapter": "#009E73",
    "lora": "#1B7FC4",
    "bitfit": "#D55E00",
}
_SPARE = ("#56B4E9", "#A58AFF", "#B8860B", "#17A2A2", "#E377C2", "#8C6D46")
_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "star")
FONT = "Inter, 'Helvetica Neue', Helvetica, Arial, sans-serif"
GRID = "rgba(128,128,128,0.22)"


@dataclass(frozen=True)
class Axis:
    """What a figure's horizontal axis shows."""

    title: str
    value: Callable[[Point], float]
    tick: Callable[[float], str]


AXES = {
    "parameters": Axis("trained parameters, head included", Point.trained, text.count),
    "time": Axis("training time (optimiser steps only)", lambda p: p.train_seconds, text.seconds),
    "bytes": Axis("bytes stored for a task", lambda p: p.ledger.get("delta_bytes", math.nan), text.size),
    "memory": Axis("peak memory while training", lambda p: p.peak_bytes, text.size),
}
_HEADLESS = Axis("trained parameters, head left out", lambda p: p.trained(head=False), text.count)


def colours(strategies: Iterable[str]) -> dict[str, str]:
    """Return a colour for each strategy; the common ones always keep theirs."""
    spare = iter(_SPARE * 9)
    return {name: COLOURS.get(name) or next(spare) for name in sorted(set(strategies))}


def is_full(point: Point) -> bool:
    """Tell whether the point trains the whole model: it is what the others are compared with."""
    return point.share > 0.99


def trade_off(points: Sequence[Point], task: str, axis: str = "parameters", title: str = "") -> "go.Figure":
    """Return one task's figure; `points` hold every task, so colours and markers agree between figures.

    Args:
        points: from `curves.selected`, with those of `curves.average` for the task "average".
        task: a task's name or "average".
        axis: a key of `AXES`.
        title: shown above the figure.
    """
    import plotly.graph_objects as go

    shown = curves(points, task)
    palette = colours(point.key.strategy for point in points)
    backbones = sorted({(p.control, p.key.backbone) for p in points})
    symbols = {name: _SYMBOLS[i % len(_SYMBOLS)] for i, (_, name) in enumerate(backbones)}
    figure = go.Figure(layout=_layout(title))
    for (backbone, strategy), curve in shown.items():
        label = strategy if len(backbones) == 1 else f"{strategy} · {backbone}"
        for trace in _traces(curve, AXES[axis], label, palette[strategy], symbols[backbone]):
            figure.add_trace(trace)
    _full_lines(figure, shown, len(backbones) > 1)
    figure.update_layout(_ticks(shown, AXES[axis]))
    if axis == "parameters":
        _head_buttons(figure, shown)
    return figure


def all_figures(points: Sequence[Point], tasks: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return task -> axis -> figure as plain JSON, for the page."""
    import json

    return {task: {axis: json.loads(trade_off(points, task, axis).to_json()) for axis in AXES} for task in tasks}


def _traces(curve: Sequence[Point], axis: Axis, label: str, colour: str, symbol: str) -> list["go.Scatter"]:
    import plotly.graph_objects as go

    control = curve[0].control
    shared = {"legendgroup": label, "opacity": 0.5 if control else 1, "hovertemplate": "%{text}<extra></extra>"}
    bars = [0 if math.isnan(p.interval.half) else 100 * p.interval.half for p in curve]
    means = go.Scatter(
        name=label,
        x=_positions(curve, axis),
        y=[round(100 * p.mean, 3) for p in curve],
        text=[text.hover(p) for p in curve],
        mode="lines+markers",
        line={"color": colour, "width": 2, "dash": "dot" if control else "solid"},
        marker={"size": 9, "symbol": f"{symbol}-open" if control else symbol, "color": colour},
        error_y={"array": bars, "color": colour, "thickness": 1.3, "width": 3},
        **shared,
    )
    each = [(p, seed) for p in curve for seed in p.scores]
    seeds = go.Scatter(
        name=f"{label}, seeds",
        showlegend=False,
        x=_positions([p for p, _ in each], axis),
        y=[round(100 * p.scores[seed], 3) for p, seed in each],
        text=[text.hover(p, seed) for p, seed in each],
        mode="markers",
        marker={"size": 5, "symbol": symbol, "color": colour, "opacity": 0.45},
        **shared,
    )
    return [means, seeds]


def _full_lines(figure: "go.Figure", shown: dict[tuple[str, str], list[Point]], named: bool) -> None:
    for curve in shown.values():
        for point in curve:
            if is_full(point) and not point.control:
                figure.add_hline(
                    y=100 * point.mean,
                    line={"dash": "dash", "width": 1.2, "color": COLOURS["full"]},
                    annotation_text=f"full · {point.key.backbone}" if named else "full fine-tuning",
                    annotation_position="bottom left",
                    annotation_font={"size": 11, "color": COLOURS["full"]},
                    layer="below",
                )


def _zero_slot(positive: Sequence[float]) -> float:
    """Where a log axis puts nought: half a decade left of the smallest value."""
    return min(positive, default=1.0) / 10**0.5


def _positions(curve: Sequence[Point], axis: Axis, zero: float = 1.0) -> list[float]:
    return [axis.value(point) or zero for point in curve]


def _ticks(shown: dict[tuple[str, str], list[Point]], axis: Axis) -> dict[str, Any]:
    """Return a log axis whose labels are human units, with a slot for nought where one is needed."""
    values = [v for curve in shown.values() for v in map(axis.value, curve) if not math.isnan(v)]
    positive = [v for v in values if v > 0] or [1.0]
    start = _zero_slot(positive) if 0 in values else min(positive)
    low, high = math.log10(start), math.log10(max(positive))
    steps = (1,) if high - low > 2.5 else (1, 2, 5) if high - low > 0.5 else tuple(i / 2 for i in range(2, 20))
    decades = range(math.floor(low), math.ceil(high) + 1)
    vals = [s * 10.0**d for d in decades for s in steps if s * 10.0**d >= min(positive) * 0.7]
    labels = [axis.tick(v) for v in vals]
    if 0 in values:
        vals, labels = [start, *vals], ["0", *labels]
    pad = max(0.04 * (high - low), 0.03)
    return {
        "xaxis.tickvals": vals,
        "xaxis.ticktext": labels,
        "xaxis.range": [low - pad, high + pad],
        "xaxis.title.text": axis.title,
    }


def _head_buttons(figure: "go.Figure", shown: dict[tuple[str, str], list[Point]]) -> None:
    """Two buttons that move every trace between the two conventions of "trained parameters"."""
    buttons = []
    for label, axis in (("head included", AXES["parameters"]), ("head left out", _HEADLESS)):
        values = [axis.value(p) for curve in shown.values() for p in curve]
        zero = _zero_slot([v for v in values if v > 0])
        xs = []
        for curve in shown.values():
            repeated = [p for p in curve for _ in p.scores]
            xs += [_positions(curve, axis, zero), _positions(repeated, axis, zero)]
        buttons.append({"label": label, "method": "update", "args": [{"x": xs}, _ticks(shown, axis)]})
    menu = {"type": "buttons", "direction": "right", "buttons": buttons, "x": 0, "xanchor": "left", "y": 1.02}
    style = {"yanchor": "bottom", "pad": {"t": 0, "b": 4}, "font": {"size": 11, "color": COLOURS["full"]}}
    figure.update_layout(updatemenus=[{**menu, **style, "bgcolor": "rgba(0,0,0,0)", "bordercolor": GRID}])


def _layout(title: str) -> dict[str, Any]:
    line = {"gridcolor": GRID, "linecolor": COLOURS["full"], "zeroline": False, "ticks": "outside", "ticklen": 4}
    return {
        "template": {},
        "title": {"text": title, "font": {"size": 16}, "x": 0},
        "font": {"family": FONT, "size": 13, "color": "#2a2e35"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hoverlabel": {"align": "left", "font": {"family": FONT, "size": 12}},
        "legend": {"orientation": "v", "x": 1.02, "y": 1, "font": {"size": 12}, "itemsizing": "constant"},
        "margin": {"l": 56, "r": 16, "t": 48, "b": 52},
        "xaxis": {**line, "type": "log", "tickcolor": GRID, "title": {"standoff": 12}},
        "yaxis": {**line, "tickcolor": GRID, "title": {"text": "validation score", "standoff": 8}},
    }

"""Trade-off curves as Plotly figures: score against trained parameters, time, stored bytes and peak memory.

A strategy has one colour and one marker everywhere (`palette.py`). Large markers are means with the t interval over
seeds, the small ones just right of them the seeds; the dashed line is full fine-tuning; controls are faded and dotted.
What lies beyond the axis (`scale.py`) is an arrow at its end. Backgrounds are transparent.
"""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lm_lab.report import text
from lm_lab.report.curves import Point, compares_backbones, curves, mixes_compiled
from lm_lab.report.palette import REFERENCE, Look, looks
from lm_lab.report.scale import scale
from lm_lab.report.traces import AXES, HEADLESS, Axis, across, traces, zero_slot
from lm_lab.results.coordinates import STRATEGY, Coordinates

if TYPE_CHECKING:
    import plotly.graph_objects as go

FONT = "Inter, 'Helvetica Neue', Helvetica, Arial, sans-serif"
GRID = "rgba(128,128,128,0.22)"


def strategies(points: Iterable[Point]) -> dict[str, Look]:
    """How each strategy looks in every figure of these points, by its name without the backbone and the size."""
    return looks({point.key.line.label: point.family for point in points})


def references(points: Iterable[Point]) -> frozenset[Coordinates]:
    """Keys of full fine-tuning, one a place: what the others are compared with.

    Several strategies may train the whole model (layer decay, gradual unfreezing): "full" is the one of that name, else
    the first.
    """
    found: dict[Coordinates, Coordinates] = {}
    for point in points:
        if point.share > 0.99 and (point.key.place not in found or point.key[STRATEGY] == "full"):
            found[point.key.place] = point.key
    return frozenset(found.values())


def trade_off(points: Sequence[Point], task: str, axis: str = "parameters", title: str = "") -> "go.Figure":
    """Return one task's figure; `points` hold every task, so colours and markers agree between figures.

    Args:
        points: from `curves.selected`, with those of `curves.average` for the task "average".
        task: a task's name or "average".
        axis: a key of `AXES`.
        title: shown above the figure.
    """
    import plotly.graph_objects as go

    found = _traces(points, task)
    for trace, x in zip(found, across(_ranked(points, task), AXES[axis]), strict=True):
        trace["x"] = x
    figure = _empty(points, task, axis, title)
    figure.add_traces([go.Scatter(trace) for trace in found])
    return figure


def all_figures(points: Sequence[Point], tasks: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the figures of the page as plain JSON: task -> its traces, and axis -> their x and all else of the figure.

    Traces are not built as objects, which takes long.
    """
    import json

    figures: dict[str, dict[str, Any]] = {}
    for task in tasks:
        axes = {}
        for name, axis in AXES.items():
            layout = json.loads(_empty(points, task, name).to_json())["layout"]
            axes[name] = {"x": across(_ranked(points, task), axis), "layout": layout}
        figures[task] = {"traces": _traces(points, task), "axes": axes}
    return figures


def _ranked(points: Sequence[Point], task: str) -> list[list[Point]]:
    """A task's curves, the best first and controls last."""
    return sorted(curves(points, task).values(), key=lambda curve: (curve[0].control, -max(p.mean for p in curve)))


def _traces(points: Sequence[Point], task: str) -> list[dict[str, Any]]:
    shown, palette, full = _ranked(points, task), strategies(points), references(points)
    every = [point for curve in shown for point in curve]
    ends, alone, mixed = scale(every), _alone(points), mixes_compiled(every)
    found: list[dict[str, Any]] = []
    for curve in shown:
        key = curve[0].key
        label = key.line.label if alone and not curve[0].control else f"{key.line.label} · {key.backbone}"
        found += traces(curve, label, palette[key.line.label], ends, any(p.key in full for p in curve), mixed)
    return found


def _alone(points: Iterable[Point]) -> bool:
    """True with one pretrained backbone, whose name goes without saying."""
    return len({p.key.backbone for p in points if not p.control}) == 1


def _empty(points: Sequence[Point], task: str, axis: str, title: str = "") -> "go.Figure":
    """All of a figure but its traces."""
    import plotly.graph_objects as go

    shown = _ranked(points, task)
    every = [point for curve in shown for point in curve]
    ends = scale(every)
    figure = go.Figure(layout=_layout(title))
    if not compares_backbones(points):
        _full_lines(figure, shown, not _alone(points))
    outside = [p for p in every if ends.beyond(100 * p.mean)]
    beyond = [f"{task}, {p.key.label}: {text.score(p.mean)}" for p in outside]
    figure.update_layout({**_ticks(shown, AXES[axis]), "yaxis.range": list(ends), "meta": {"beyond": beyond}})
    if axis in ("time", "memory") and mixes_compiled(every):
        figure.update_layout({"xaxis.title.text": f"{AXES[axis].title}; with a dot: compiled"})
    if axis == "parameters":
        _head_buttons(figure, shown)
    return figure


def _full_lines(figure: "go.Figure", shown: Sequence[Sequence[Point]], named: bool) -> None:
    full = references(point for curve in shown for point in curve)
    for curve in shown:
        for point in curve:
            if point.key in full and not point.control:
                figure.add_hline(
                    y=100 * point.mean,
                    line={"dash": "dash", "width": 1.2, "color": REFERENCE},
                    annotation_text=f"full · {point.key.place.label}" if named else "full fine-tuning",
                    annotation_position="top left",
                    annotation_font={"size": 11, "color": REFERENCE},
                    layer="below",
                )


def _ticks(shown: Sequence[Sequence[Point]], axis: Axis) -> dict[str, Any]:
    """Return a log axis whose labels are human units, with a slot for nought where one is needed."""
    values = [v for curve in shown for v in map(axis.value, curve) if not math.isnan(v)]
    positive = [v for v in values if v > 0] or [1.0]
    start = zero_slot(positive) if 0 in values else min(positive)
    low, high = math.log10(start), math.log10(max(positive))
    vals = _tick_values(min(positive), max(positive))
    labels = [axis.tick(v) for v in vals]
    if 0 in values:
        vals, labels = [start, *vals], ["0", *labels]
    pad = max(0.04 * (high - low), 0.03)
    return {
        "xaxis.tickvals": vals,
        "xaxis.ticktext": labels,
        "xaxis.tickangle": 0,
        "xaxis.range": [low - pad, high + pad],
        "xaxis.title.text": axis.title,
    }


def _tick_values(low: float, high: float) -> list[float]:
    """Return three round numbers of a log axis or a few more; evenly spaced ones if it is short, its ends if tiny."""
    if high < 1.2 * low:  # labels of round numbers would overlap
        return [low, high] if high > 1.08 * low else [math.sqrt(low * high)]
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5)):
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        if len(inside := [tick for tick in ticks if 0.7 * low <= tick <= 1.3 * high]) >= 3:
            return inside
    scale = 10.0 ** math.floor(math.log10(max(high - low, high / 20) / 2))
    step = next(scale * nice for nice in (1, 2, 5, 10, 20) if (high - low) / (scale * nice) <= 4)
    return [step * index for index in range(math.floor(low / step), math.ceil(high / step) + 1) if index > 0]


def _head_buttons(figure: "go.Figure", shown: Sequence[Sequence[Point]]) -> None:
    """Two buttons that move every trace between the two conventions of "trained parameters"."""
    buttons = []
    for label, axis in (("head included", AXES["parameters"]), ("head left out", HEADLESS)):
        xs = across(shown, axis)
        buttons.append({"label": label, "method": "update", "args": [{"x": xs}, _ticks(shown, axis)]})
    menu = {"type": "buttons", "direction": "right", "buttons": buttons, "x": 0, "xanchor": "left", "y": 1.02}
    style = {"yanchor": "bottom", "pad": {"t": 0, "b": 4}, "font": {"size": 11, "color": REFERENCE}}
    figure.update_layout(updatemenus=[{**menu, **style, "bgcolor": "rgba(0,0,0,0)", "bordercolor": GRID}])


def _layout(title: str) -> dict[str, Any]:
    line = {"gridcolor": GRID, "linecolor": REFERENCE, "zeroline": False, "ticks": "outside", "ticklen": 4}
    return {
        "template": {},
        "title": {"text": title, "font": {"size": 16}, "x": 0},
        "font": {"family": FONT, "size": 13, "color": "#2a2e35"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hoverlabel": {"align": "left", "font": {"family": FONT, "size": 12}},
        "legend": {
            "orientation": "v",
            "x": 1.02,
            "y": 1,
            "font": {"size": 12},
            "itemsizing": "constant",
            "tracegroupgap": 0,
        },
        "margin": {"l": 56, "r": 16, "t": 48, "b": 52},
        "xaxis": {**line, "type": "log", "tickcolor": GRID, "title": {"standoff": 12, "font": {"size": 13}}},
        "yaxis": {
            **line,
            "tickcolor": GRID,
            "title": {"text": "validation score", "standoff": 8, "font": {"size": 13}},
        },
    }

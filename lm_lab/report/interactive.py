"""The page's interactive figures: their controls, the key to their markers, and Plotly with what it draws, packed."""

import base64
import gzip
import json
from collections.abc import Iterable, Sequence
from html import escape

from lm_lab.report.curves import Point, curves
from lm_lab.report.families import OWN
from lm_lab.report.figures import all_figures, strategies
from lm_lab.report.marks import swatch
from lm_lab.report.svg import write_svg
from lm_lab.report.table import columns
from lm_lab.report.traces import AXES
from lm_lab.results.records import AVERAGE

EACH = "each task"
"""The tab that shows a panel a task; no task's name has a space in a suite that anybody has."""
_STATIC = 32  # curves that a picture without a browser's help can show

_CAPTION = """Large markers are means, bars 95% t intervals over seeds (of averages: over tasks and seeds, as in the
table), and the small markers just right of them the single seeds. A colour is a family of strategies. The dashed
line is full fine-tuning; dotted and open: controls with random weights. Hover for the numbers, click a name to see
it alone."""


def section(points: Sequence[Point]) -> str:
    """Score against cost: a figure for each axis, or a panel a backbone where there are several; "" without scores."""
    tasks = _tabs(points)
    if not tasks:
        return ""
    panels = len({p.key.backbone for p in points if not p.control}) > 1
    each = "" if panels or len(tasks) < 3 else f'<button data-task="{EACH}">{EACH}</button>'
    axes = "".join(f'<button data-shown="{axis}">{axis}</button>' for axis in AXES)
    heads = "".join(f'<button data-head="{i}">{w}</button>' for i, w in enumerate(("head included", "head left out")))
    asked = f'<div class="tabs">{_filters(points)}<span class="gap"></span><span id="shown">{axes}</span>{heads}</div>'
    large, *small = (f'<div class="plot" role="img" data-axis="{axis}"></div>' for axis in AXES)
    rest = "".join(f"<figure>{plot}</figure>" for plot in small)
    still = "" if len(curves(points, tasks[0])) > _STATIC else write_svg(points, task=tasks[0])
    said = '<p class="note" id="beyond"></p>'
    return (
        f'<section id="score-against-cost"><h2>Score against cost</h2><p class="warn" id="no-figures" hidden></p>'
        f'<figure id="static">{still}</figure><div class="interactive" data-panels="{"backbone" if panels else ""}" '
        f"hidden>{tab_bar(points, each)}{asked}<figure>{_key(points)}{large}{said}"
        f'<figcaption>{_CAPTION}</figcaption></figure><div class="small">{rest}</div></div></section>\n'
    )


def tab_bar(points: Sequence[Point], extra: str = "") -> str:
    """A button a task; the average first."""
    tabs = "".join(f'<button data-task="{escape(task)}">{escape(task)}</button>' for task in _tabs(points))
    return f'<div class="tabs">{tabs}{extra}</div>'


def payload(points: Sequence[Point]) -> str:
    """Plotly and the figures as compressed blocks; nothing when there is no figure to draw."""
    from plotly.offline import get_plotlyjs

    tasks = _tabs(points)
    if not tasks:
        return ""
    blocks = {"plotly": get_plotlyjs(), "figures": json.dumps(all_figures(points, tasks))}
    return "".join(f'<script type="text/plain" id="{k}">{_packed(v)}</script>\n' for k, v in blocks.items())


def _tabs(points: Sequence[Point]) -> list[str]:
    tasks = columns([p for p in points if p.scores])
    return sorted(tasks, key=lambda task: task != AVERAGE)


def _filters(points: Sequence[Point]) -> str:
    """By words, by family, by backbone; what has one value only is not asked."""
    families = sorted({p.family for p in points} - {OWN}) + [OWN] * any(p.family == OWN for p in points)
    control = '<label><input type="checkbox" id="controls" checked> show controls</label>'
    sought = '<input type="search" id="filter" placeholder="filter: lora|adapter bert" aria-label="Filter by name">'
    chosen = _select("family", [(name, name or "others") for name in families], "all families")
    backbones = sorted({p.key.backbone for p in points})
    chosen += _select("backbone", [(name, name) for name in backbones], "all backbones")
    return sought + chosen + (control if any(p.control for p in points) else "")


def _select(name: str, options: Sequence[tuple[str, str]], every: str) -> str:
    if len(options) < 2:
        return ""
    listed = "".join(f'<option value="={escape(value)}">{escape(shown)}</option>' for value, shown in options)
    return f'<select id="{name}" aria-label="Filter by {name}"><option value="">{every}</option>{listed}</select>'


def _key(points: Iterable[Point]) -> str:
    """The markers with their names, for where a figure has no room for names."""
    points = list(points)
    known = {p.key.line.label: p.family for p in points}
    seen = strategies(points)
    ordered = sorted(known, key=lambda name: (known[name], seen[name]))
    entries = (f'<button data-line="{escape(name)}">{swatch(seen[name])}{escape(name)}</button>' for name in ordered)
    return f'<div class="key">{"".join(entries)}</div>'


def _packed(content: str) -> str:
    # mtime=0: the same results give the same page, byte for byte
    return base64.b64encode(gzip.compress(content.encode(), 9, mtime=0)).decode()

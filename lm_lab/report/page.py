"""Writes a results folder's report: one HTML page that needs no network and no server, and two CSV files.

    DIR/report/index.html    everything: figures, tables, comparisons, failures, how it was measured
    DIR/report/results.csv   a row a point
    DIR/report/cells.csv     a row a cell

Plotly's library and the figures travel inside the page as gzip in base64 and are unpacked by the browser
(`DecompressionStream`); without it, or without scripts, the page shows the static picture and every table.
"""

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from lm_lab.metrics.uncertainty import DRAWS
from lm_lab.report import interactive, sections
from lm_lab.report.backbones import side_by_side
from lm_lab.report.cautions import cautions
from lm_lab.report.comparisons import Comparison, compare
from lm_lab.report.curves import Point, compares_backbones, shared_tasks
from lm_lab.report.details import details, domains
from lm_lab.report.headline import headline
from lm_lab.report.layers import layer_weights
from lm_lab.report.losses import training_losses
from lm_lab.report.script import JS
from lm_lab.report.style import CSS
from lm_lab.report.svg import write_svg
from lm_lab.report.table import (
    all_points,
    baselines_line,
    cells_csv,
    columns,
    progress,
    results_csv,
    rows,
    terminal_table,
)
from lm_lab.results.records import AVERAGE, Baseline, Scan, read_baselines, read_suite, scan

__all__ = ["terminal_table", "write_report", "write_svg"]

_PROTOCOL = """For each backbone, strategy, size and task, every tuned value ran with the first seeds, and the value
with the best mean score on the <em>selection</em> examples, which are held out of the training set, was chosen; the
other seeds ran with that value alone. What is reported is the score on the validation set, which took no part in the
choice, over all seeds. A task's score is the mean of its metrics, and the average is the plain mean of task scores,
as GLUE defines them. "±" is half of a 95% Student t interval of the mean over seeds; that of an average adds up the
tasks' variances. Training time leaves evaluation out; costs of the average are means over its tasks."""

_RACED = """In a race before that, every value trained for {:.0%} of its steps, and those that were significantly behind
the best on the selection examples were given up: a value that is slow at first may be among them."""

_COMPARED = """A strategy's score minus full fine-tuning's, in points. The interval adds the variance of a bootstrap
over validation examples (the same for both, so paired) and that of the seeds; the Holm column corrects p for all
comparisons within one backbone and task. Bold: Holm's p is at most 0.05. A difference that is not bold is not thereby
zero: read its interval."""

_MIXED = """Learned weights of the layers, summing to 1: 0 is the embeddings. Bars are means, dots seeds; the upper line
is an equal share."""

_LOSSES = """Loss of single batches at equal steps, averaged over seeds and five records; dotted: random weights.
The number is the last one."""

_BACKBONES = """Each row is a backbone, best mean of its strategies first; faded rows are controls with random weights.
Intervals longer than 10 points are cut there."""

_BESIDE = """Means over seeds of what a task reports beside its metrics; none of it was used to choose anything."""

_DOMAINS = """Scores, as means over seeds, on splits of other domains that nothing was trained or selected on. The
change is their mean less the score in the task's own domain."""

_SCREEN = 1500  # letters

_BOLD = """Bold: the best of its column, or not significantly different from it by Welch's t-test over seeds at 5% and
as well measured (as many seeds; an interval no wider, or a mean within a point)."""


def write_report(
    root: Path,
    out: Path | None = None,
    draws: int = DRAWS,
    found: Scan | None = None,
    points: Sequence[Point] | None = None,
) -> Path:
    """Write the report of the results under `root` into `out` (default: `root`/report); return the page's path.

    An unfinished run gives a report that says what is missing. `draws` is the bootstrap's number of resamples, `found`
    what `root` holds and `points` what it gives, where the caller has them.

    Raises:
        UsageError: `root` holds no suite.json.
    """
    suite, found = read_suite(root), found or scan(root)
    points = all_points(found.records, suite) if points is None else points
    gaps, problems = compare(root, points, found.records, draws)
    out = out or root / "report"
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.csv").write_text(results_csv(points))
    (out / "cells.csv").write_text(cells_csv(found.records))
    page = out / "index.html"
    page.write_text(_page(suite, found, points, gaps, problems, read_baselines(root)), encoding="utf-8")
    return page


def _page(
    suite: Mapping[str, Any],
    found: Scan,
    points: Sequence[Point],
    gaps: Sequence[Comparison],
    problems: Sequence[str],
    known: Mapping[str, Baseline],
) -> str:
    name = escape(str(suite.get("name", "results")))
    sentences = "".join(f"<p>{escape(line)}</p>" for line in headline(points, gaps))
    sentences += _cautions(cautions(points, found.records, known))
    beside = _optional("Backbones side by side", side_by_side(points), _BACKBONES)
    body = [
        f"<h1>What each way of adapting costs: {name}</h1>",
        f'<p class="muted">{escape(str(suite.get("description", "")))} {_counts(suite, points, found)}</p>',
        f'<div class="lead">{sentences}</div>',
        _warnings(suite, found, points, problems),
        *(
            [beside, interactive.section(points)]
            if compares_backbones(points)
            else [interactive.section(points), beside]
        ),
        _section("Scores and costs", sections.results(points, known), _table_note(points, known)),
        _section(
            "Against full fine-tuning",
            interactive.tab_bar(points) + sections.comparisons(gaps, rows(points)),
            _COMPARED,
        ),
        _optional("Beside the score", details(points, found.records), _BESIDE),
        _optional("Other domains", domains(points, found.records), _DOMAINS),
        _optional("What a mix gives to each layer", layer_weights(points, found.records), _MIXED),
        _optional("Training loss of full fine-tuning", training_losses(points, found.records), _LOSSES),
        _section("Selection of the tuned values", sections.selection(points), "Bold: the value that was chosen."),
        _section("Cells that failed", sections.failures(found.records, found.broken)),
        _section("How it was measured", _protocol(suite) + sections.provenance(found.records, suite)),
    ]
    body.insert(4, _contents(body))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{name}: adaptation trade-off</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{CSS}</style></head>\n'
        f"<body>\n{''.join(body)}\n{interactive.payload(points)}<script>{JS}</script>\n</body></html>\n"
    )


def _cautions(lines: Sequence[str]) -> str:
    """All of them, or behind their number where they would fill the screen."""
    listed = "".join(f'<p class="flag">{escape(line)}</p>' for line in lines)
    if sum(map(len, lines)) <= _SCREEN:
        return listed
    summary = f"{len(lines)} cautions: read them before the figures"
    return f'<details class="flag"><summary>{summary}</summary>{listed}</details>'


def _optional(title: str, html: str, note: str) -> str:
    return _section(title, html, note) if html else ""


def _section(title: str, html: str, note: str = "") -> str:
    explained = f'<p class="note">{note}</p>' if note else ""
    return f'<section id="{_slug(title)}"><h2>{title}</h2>{explained}{html}</section>\n'


def _slug(title: str) -> str:
    return title.lower().replace(" ", "-")


def _contents(body: Sequence[str]) -> str:
    """Links to the sections, and to the files beside the page."""
    titles = re.findall(r'<section id="[^"]*"><h2>(.*?)</h2>', "".join(body))
    links = [f'<a href="#{_slug(title)}">{title}</a>' for title in titles]
    files = [f'<a href="{name}" download>{name}</a>' for name in ("results.csv", "cells.csv")]
    return f'<nav class="contents" aria-label="Contents">{"".join([*links, *files])}</nav>\n'


def _counts(suite: Mapping[str, Any], points: Sequence[Point], found: Scan) -> str:
    tasks = ", ".join(task for task in columns(points) if task != AVERAGE)
    seeds = ", ".join(map(str, suite.get("seeds", ()))) or "not stated"
    done = progress(found.records, (), suite)[0]
    return escape(f"Tasks: {tasks or 'none yet'}. Seeds: {seeds}. {done}.")


def _warnings(suite: Mapping[str, Any], found: Scan, points: Sequence[Point], problems: Sequence[str]) -> str:
    status, *lines = progress(found.records, found.broken, suite)
    if "not run yet" in status:
        lines = [f"This run is not finished: {status}.", *lines]
    short = [p for p in points if p.missing and p.task != AVERAGE]
    if short:
        lines = [*lines, f"Points that lack seeds: {len(short)}, marked ?. Their intervals are wider, or missing."]
    every, shared = {p.task for p in points} - {AVERAGE}, shared_tasks(points)
    if left := sorted(every - set(shared)):
        over = ", ".join(shared) or "no task"
        lines = [*lines, f"The average is over {over}: not every strategy has a score on {', '.join(left)}."]
    lines = [*lines, *(f"Left out of the comparisons: {problem}" for problem in problems)]
    return f'<div class="warn">{"".join(f"<p>{escape(line)}</p>" for line in lines)}</div>' if lines else ""


def _table_note(points: Sequence[Point], known: Mapping[str, Baseline]) -> str:
    marked = f"{_BOLD} "
    shared = ", ".join(shared_tasks(points))
    over = f"The average is over {escape(shared)}. " if AVERAGE in columns(points) else ""
    beat = f"What any model has to beat, {escape(baselines_line(points, known))}. " if known else ""
    return f"{marked}{over}{beat}Click a heading to sort."


def _protocol(suite: Mapping[str, Any]) -> str:
    race = f"<p>{_RACED.format(suite['race'])}</p>" if suite.get("race") else ""
    return f"<p>{_PROTOCOL}</p>{race}"

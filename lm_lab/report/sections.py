"""The report page's tables and lists as HTML fragments; every value from a file is escaped."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from lm_lab.provenance import commit
from lm_lab.redaction import redacted
from lm_lab.report import text
from lm_lab.report.comparisons import Comparison
from lm_lab.report.curves import Point, mixes_compiled
from lm_lab.report.figures import strategies
from lm_lab.report.marks import swatch
from lm_lab.report.table import BASELINE, baseline_scores, best, columns, rows
from lm_lab.results.coordinates import BACKBONE, TASK, Coordinates, coordinates
from lm_lab.results.records import AVERAGE, Baseline, CellRecord
from lm_lab.results.selection import Candidate, on_edge


class Data(NamedTuple):
    """A table cell: what is shown (HTML), what it sorts by, and its class."""

    html: str
    value: float | str = ""
    css: str = ""


def table(header: Sequence[str], body: Sequence[tuple[Sequence[Data], str]]) -> str:
    """Return a sortable table; `body` is rows of cells, each with the row's HTML attributes."""
    kinds = [cell.css for cell in body[0][0]] if body else [""] * len(header)
    heads = "".join(
        f'<th class="{kind}" scope="col"><button type="button">{escape(name)}</button></th>'
        for name, kind in zip(header, kinds, strict=True)
    )
    lines = "".join(f"<tr {attributes}>{''.join(map(_cell, row))}</tr>" for row, attributes in body)
    return (
        f'<div class="scroll"><table class="sortable"><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody>'
        "</table></div>"
    )


def results(points: Sequence[Point], known: Mapping[str, Baseline]) -> str:
    """Return the table of scores: a row a strategy and size, a column a task, what it costs; the baseline last."""
    tasks, marked, palette = columns(points), best(points), strategies(points)
    many, mixed = len({p.key.backbone for p in points}) > 1, mixes_compiled(points)
    body = []
    for key, by_task in rows(points).items():
        point = by_task.get(AVERAGE) or next(iter(by_task.values()))
        named = [Data(swatch(palette[key.line.label]) + escape(key.method.label), key.method.label)]
        named += [Data(escape(key.backbone), css="word")] if many else []
        scores = [_score(by_task.get(task), (key, task) in marked) for task in tasks]
        about = _about(point) + (' class="control"' if point.control else "")
        body.append(([*named, *scores, *_costs(point, mixed)], about))
    if known:
        scored = baseline_scores(points, known)
        named = [Data(BASELINE, BASELINE), *([Data("", css="word")] if many else [])]
        scores = [Data(text.score(scored[task]), scored[task]) if task in scored else Data(text.NONE) for task in tasks]
        body.append(([*named, *scores, *[Data(text.NONE)] * 5], 'class="control"'))
    header = ["strategy", *(["backbone"] if many else []), *tasks]
    return table([*header, "trained", "share", "train time", "stored", "peak memory"], body)


def comparisons(found: Sequence[Comparison], order: Mapping[Coordinates, Mapping[str, Point]]) -> str:
    """Return the table of differences from full fine-tuning, the average first, rows in the order of the keys."""
    if not found:
        return "<p>No comparison can be made: it takes finished cells of full fine-tuning and of another strategy.</p>"
    many = len({c.key.backbone for c in found}) > 1
    places = {key: place for place, key in enumerate(order)}
    body = []
    for c in sorted(found, key=lambda c: (c.task != AVERAGE, c.task, places[c.key])):
        gap = c.difference
        clear = c.p_holm <= 0.05
        interval = f"{text.score(gap.low, signed=True)} to {text.score(gap.high, signed=True)}"
        named = [Data(escape(c.task), c.task), Data(escape(c.key.method.label), css="word")]
        named += [Data(escape(c.key.backbone), css="word")] if many else []
        numbers = [Data(text.score(gap.estimate, signed=True), gap.estimate, "best" if clear else "")]
        numbers += [Data(interval, gap.low), Data(text.p_value(gap.p), gap.p), Data(text.p_value(c.p_holm), c.p_holm)]
        row = [*named, *numbers, Data(f"{c.seeds[0]} / {c.seeds[1]}")]
        about = _about(next(iter(order[c.key].values())))
        body.append((row, f'data-task="{escape(c.task)}" {about}'))
    header = ["task", "strategy", *(["backbone"] if many else []), "difference", "95% interval", "p", "p (Holm)"]
    return table([*header, "seeds"], body)


def _about(point: Point) -> str:
    """What a row can be filtered by."""
    known = {"name": f"{point.key.line.label} · {point.key.backbone}", "backbone": point.key.backbone}
    return " ".join(f'data-{key}="{escape(value)}"' for key, value in {**known, "family": point.family}.items())


def selection(points: Sequence[Point]) -> str:
    """Return the table of every tuned value's selection score, those won on the edge of their grid first."""
    chosen = [p for p in points if p.task != AVERAGE and len(p.candidates) > 1]
    if not chosen:
        return "<p>Nothing was selected: every strategy ran with one setting.</p>"
    on_its_edge = [bool(p.scores and on_edge(p.candidates, p.tuned)) for p in chosen]
    edges = [p for p, edge in zip(chosen, on_its_edge, strict=True) if edge]
    ordered = [*edges, *(p for p, edge in zip(chosen, on_its_edge, strict=True) if not edge)]
    body = [(_selection_row(p, index < len(edges)), "") for index, p in enumerate(ordered)]
    listed = table(["strategy", "backbone", "task", "selection score of each tuned value", "warning"], body)
    warning = f"Choices on the edge of their grid, where a wider one might score more: {len(edges)} of {len(chosen)}."
    note = f'<p class="flag">{warning}</p>' if edges else "<p>No choice is on the edge of its grid.</p>"
    return f"{note}<details><summary>Every choice ({len(chosen)})</summary>{listed}</details>"


def failures(records: Iterable[CellRecord], broken: Sequence[str]) -> str:
    """Return the cells that failed or diverged with their reasons, and the files that cannot be read."""
    body = []
    for record in records:
        if record["status"] == "done":
            continue
        cell, at = record["cell"], coordinates(record["cell"])
        words = [at.without(TASK).method.label, at.backbone, str(at[TASK]), text.setting(cell["tuned"])]
        row = [Data(escape(word), css="word") for word in [*words, str(cell["seed"]), record["status"]]]
        body.append(([*row, Data(_reason(record), css="wrap")], ""))
    listed = "".join(f"<li><code>{escape(line)}</code></li>" for line in broken)
    unreadable = f"<p>Files that cannot be read:</p><ul>{listed}</ul>" if broken else ""
    if not body:
        return "<p>No cell failed.</p>" + unreadable
    return table(["strategy", "backbone", "task", "setting", "seed", "status", "reason"], body) + unreadable


def provenance(records: Sequence[CellRecord], suite: Mapping[str, Any]) -> str:
    """Return what was run, with what and on what; where cells differ, every variant is listed."""
    facts = {
        "command": _distinct(redacted(r.get("command", "")) for r in records),
        "hardware": _distinct(_hardware(r.get("hardware", {})) for r in records),
        "versions": _distinct(", ".join(f"{k} {v}" for k, v in r.get("versions", {}).items()) for r in records),
        "code": _distinct(commit(r.get("git", {})) for r in records),
        "seeds": [", ".join(map(str, suite.get("seeds", ())))],
        "data": _hashes(records, TASK, "data"),
        "weights": _hashes(records, BACKBONE, "weights"),
        "memory": _distinct(r.get("memory", {}).get("kind") for r in records),
        "run": [_period([r["started"] for r in records if r.get("started")])],
    }
    items = "".join(f"<dt>{name}</dt><dd>{'<br>'.join(map(escape, v))}</dd>" for name, v in facts.items() if any(v))
    mixed = [name for name in ("hardware", "versions", "code") if len(facts[name]) > 1]
    note = f'<p class="warn">Cells differ in {", ".join(mixed)}: compare their times with care.</p>' if mixed else ""
    return f"{note}<dl>{items}</dl>"


def _cell(data: Data) -> str:
    value = "" if isinstance(data.value, float) and math.isnan(data.value) else data.value
    sort = f' data-v="{escape(str(value))}"' if isinstance(data.value, float | int) or data.value else ""
    return f'<td class="{data.css}"{sort}>{data.html}</td>'


def _score(point: Point | None, marked: bool) -> Data:
    if point is None or not point.scores:
        failed = f"{point.failed} failed" if point and point.failed else text.NONE
        return Data(failed, math.nan)
    around = text.spread(point.interval)
    spread = f' <span class="half">{around}</span>' if around else ""
    seeds = ", ".join(map(str, point.missing))
    flag = f' <span class="flag" title="missing seeds {seeds}">?</span>' if point.missing else ""
    return Data(text.score(point.mean) + spread + flag, point.mean, "best" if marked else "")


def _costs(point: Point, mixed: bool) -> list[Data]:
    flag = f'<span class="flag">{point.compiled}</span> ' if mixed and point.compiled else ""
    trained, stored = point.trained(), point.ledger.get("delta_bytes", math.nan)
    return [
        Data(text.count(trained), trained),
        Data(text.percent(point.share), point.share),
        Data(f"{flag}{text.seconds(point.train_seconds)}", point.train_seconds),
        Data(text.size(stored), stored),
        Data(text.size(point.peak_bytes), point.peak_bytes),
    ]


def _selection_row(point: Point, edge: bool) -> list[Data]:
    values = [_option(c, c.tuned == point.tuned) for c in point.candidates]
    words = [point.key.method.label, point.key.backbone, point.task]
    warning = '<span class="flag">on the edge of the grid</span>' if edge else ""
    shown = [Data(escape(word), css="word") for word in words]
    return [*shown, Data(" · ".join(values), css="word"), Data(warning, css="word")]


def _option(option: Candidate, won: bool) -> str:
    values = ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in option.tuned.values())
    notes = [f"{option.failed} failed"] if option.failed else []
    notes += [f"after {option.race:.0%}"] if option.race else []
    shown = f"{escape(values)}: {text.score(option.mean)}" + (f" ({', '.join(notes)})" if notes else "")
    return f"<b>{shown}</b>" if won else f'<span class="half">{shown}</span>'


def _reason(record: CellRecord) -> str:
    reason = escape(record.get("reason") or "no reason recorded")
    trace = record.get("traceback")
    return reason if not trace else f"<details><summary>{reason}</summary><pre>{escape(trace)}</pre></details>"


def _hashes(records: Iterable[CellRecord], axis: str, what: str) -> list[str]:
    return _distinct(f"{coordinates(r['cell'])[axis]} {r.get('fingerprints', {}).get(what, '?')}" for r in records)


def _distinct(values: Iterable[str | None]) -> list[str]:
    return sorted({value for value in values if value})


def _hardware(hardware: Mapping[str, Any]) -> str:
    if not hardware:
        return ""
    memory = text.size(float(hardware.get("memory_bytes") or math.nan))
    cores = f"{hardware.get('cores')} cores, {hardware.get('threads')} threads, {memory}"
    precision = f", {hardware['precision']}" if "precision" in hardware else ""
    compiled = ", compiled" if hardware.get("compiled") else ""
    return f"{hardware.get('cpu')}, {cores}, GPU: {hardware.get('gpu') or 'none'}{precision}{compiled}"


def _period(started: Sequence[str]) -> str:
    return f"{min(started)} to {max(started)}" if started else ""

"""Which cells a suite needs next, given the records there are.

Every tuned value runs with the first seeds; once those are in, the winner on held-out examples runs with the rest.
So the plan grows as results come in, and depends on nothing but the suite and the records.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lm_lab.benchmark.suite import Suite
from lm_lab.results.coordinates import Cell, Coordinates
from lm_lab.results.records import CellRecord
from lm_lab.results.selection import candidates, choose

Fingerprints = Callable[[dict[str, Any]], dict[str, str]]


@dataclass(frozen=True)
class PlannedCell:
    """A cell to run: its id, coordinates, resolved configuration, and the identity of its data and weights."""

    id: str
    cell: Cell
    config: dict[str, Any]
    fingerprints: dict[str, str]


@dataclass(frozen=True)
class Plan:
    """The cells known so far, and how many the suite will have in the end if nothing fails."""

    cells: list[PlannedCell]
    total: int


def make_plan(suite: Suite, records: Mapping[str, CellRecord], fingerprints: Fingerprints) -> Plan:
    """Every cell that the suite has, or may have, now. `records` maps cell ids to what is known."""
    cells: list[PlannedCell] = []
    total = 0
    for setting in suite.settings():
        cells += _setting_cells(suite, setting, records, fingerprints)
        total += _count(suite, setting)
    return Plan(cells, total)


def cell_id(config: Mapping[str, Any], fingerprints: Mapping[str, str]) -> str:
    """Hash of the resolved configuration, the data's fingerprint and the weights' hash."""
    content = json.dumps([config, fingerprints], sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()[:16]


def _setting_cells(
    suite: Suite, setting: Coordinates, records: Mapping[str, CellRecord], fingerprints: Fingerprints
) -> Iterator[PlannedCell]:
    def plan(size: Any, tuned: dict[str, Any], seed: int) -> PlannedCell:
        cell = suite.cell(setting, size, tuned, seed)
        config = suite.config(cell)
        prints = fingerprints(config)
        return PlannedCell(cell_id(config, prints), cell, config, prints)

    winners: dict[Any, dict[str, Any] | None] = {}
    for size in _tuning_sizes(suite, setting):
        first = [plan(size, tuned, seed) for tuned in suite.tuned(setting) for seed in suite.selection_seeds]
        yield from first
        winners[size] = _winner(first, records)
    for size in suite.sizes(setting):
        tuned = winners.get(size, winners.get(suite.strategy(setting).get("select_at")))
        if tuned is not None:
            done = suite.selection_seeds if size in winners else []
            yield from (plan(size, tuned, seed) for seed in suite.seeds if seed not in done)


def _tuning_sizes(suite: Suite, setting: Coordinates) -> list[Any]:
    entry = suite.strategy(setting)
    return [entry["select_at"]] if "select_at" in entry else suite.sizes(setting)


def _winner(first: list[PlannedCell], records: Mapping[str, CellRecord]) -> dict[str, Any] | None:
    """The tuned value with the best score on held-out examples, once all of `first` are in."""
    if len({json.dumps(planned.cell["tuned"]) for planned in first}) == 1:
        return first[0].cell["tuned"]
    known = [records[planned.id] for planned in first if planned.id in records]
    if len(known) < len(first):
        return None
    chosen = choose(candidates(known))
    return dict(chosen.tuned) if chosen else None


def _count(suite: Suite, setting: Coordinates) -> int:
    tuning, values = len(_tuning_sizes(suite, setting)), len(suite.tuned(setting))
    first, seeds, sizes = len(suite.selection_seeds), len(suite.seeds), len(suite.sizes(setting))
    return tuning * (values - 1) * first + sizes * seeds

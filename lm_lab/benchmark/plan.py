"""Which cells a suite needs next, given the records there are.

Every tuned value runs with the first seeds; once those are in, the winner on held-out examples runs with the rest.
So the plan grows as results come in, and depends on nothing but the suite and the records. A run asks for it after each
cell: a `Planner` plans each cell once, and a setting again only when one of the records that decide it is another.
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

    def __hash__(self) -> int:
        return hash(self.id)


@dataclass(frozen=True)
class Plan:
    """The cells known so far, and how many the suite will have in the end if nothing fails."""

    cells: list[PlannedCell]
    total: int


class Planner:
    """A suite's plan for any records: what `make_plan` gives, at the cost of what is new since the last call.

    Args:
        suite: the grid.
        fingerprints: of a cell's configuration, the identity of its data and weights.
    """

    def __init__(self, suite: Suite, fingerprints: Fingerprints) -> None:
        self._settings = [_Setting(suite, at, fingerprints) for at in suite.settings()]
        self._total = sum(setting.count() for setting in self._settings)

    def __call__(self, records: Mapping[str, CellRecord]) -> Plan:
        """Every cell that the suite has, or may have, now. `records` maps cell ids to what is known."""
        return Plan([cell for setting in self._settings for cell in setting.cells(records)], self._total)


def make_plan(suite: Suite, records: Mapping[str, CellRecord], fingerprints: Fingerprints) -> Plan:
    """Every cell that the suite has, or may have, now. `records` maps cell ids to what is known."""
    return Planner(suite, fingerprints)(records)


def cell_id(config: Mapping[str, Any], fingerprints: Mapping[str, str]) -> str:
    """Hash of the resolved configuration, the data's fingerprint and the weights' hash."""
    content = json.dumps([config, fingerprints], sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()[:16]


class _Setting:
    """The cells of one setting, over its sizes, tuned values and seeds, and what was known when they were planned."""

    def __init__(self, suite: Suite, at: Coordinates, fingerprints: Fingerprints) -> None:
        self._suite, self._at, self._fingerprints = suite, at, fingerprints
        self._sizes, self._select_at = suite.sizes(at), suite.strategy(at).get("select_at")
        self._tuned, self._planned = suite.tuned(at), dict[tuple[Any, str, int], PlannedCell]()
        self._chooses = len({json.dumps(tuned) for tuned in self._tuned}) > 1
        sizes = self._sizes if self._select_at is None else [self._select_at]
        self._first = {size: [self._plan(size, *run) for run in self._tuning()] for size in sizes}
        self._known: list[CellRecord | None] | None = None
        self._cells: list[PlannedCell] = []

    def cells(self, records: Mapping[str, CellRecord]) -> list[PlannedCell]:
        """Its cells now: the same list until one of the records that the choice is made with is another."""
        deciding = self._first.values() if self._chooses else ()
        known = [records.get(planned.id) for first in deciding for planned in first]
        if known != self._known:  # the records themselves are compared first, so this costs nothing while they stay
            self._known, self._cells = known, list(self._now(records))
        return self._cells

    def count(self) -> int:
        """How many cells it will have in the end."""
        seeds, first = self._suite.seeds, self._suite.selection_seeds
        return len(self._first) * (len(self._tuned) - 1) * len(first) + len(self._sizes) * len(seeds)

    def _now(self, records: Mapping[str, CellRecord]) -> Iterator[PlannedCell]:
        winners = {}
        for size, first in self._first.items():
            yield from first
            winners[size] = _winner(first, records) if self._chooses else self._tuned[0]
        for size in self._sizes:
            tuned = winners.get(size, winners.get(self._select_at))
            if tuned is not None:
                done = self._suite.selection_seeds if size in winners else []
                yield from (self._plan(size, tuned, seed) for seed in self._suite.seeds if seed not in done)

    def _tuning(self) -> Iterator[tuple[dict[str, Any], int]]:
        return ((tuned, seed) for tuned in self._tuned for seed in self._suite.selection_seeds)

    def _plan(self, size: Any, tuned: dict[str, Any], seed: int) -> PlannedCell:
        key = size, json.dumps(tuned, sort_keys=True), seed
        if key not in self._planned:
            cell = self._suite.cell(self._at, size, tuned, seed)
            config = self._suite.config(cell)
            prints = self._fingerprints(config)
            self._planned[key] = PlannedCell(cell_id(config, prints), cell, config, prints)
        return self._planned[key]


def _winner(first: list[PlannedCell], records: Mapping[str, CellRecord]) -> dict[str, Any] | None:
    """The tuned value with the best score on held-out examples, once all of `first` are in."""
    known = [records[planned.id] for planned in first if planned.id in records]
    if len(known) < len(first):
        return None
    chosen = choose(candidates(known))
    return dict(chosen.tuned) if chosen else None

"""Which cells a suite needs next, given the records there are.

Every tuned value runs with the first seeds (in a suite with a race, those that are not given up in it); once those are
in, the winner on held-out examples runs with the rest.
So the plan grows as results come in, and depends on nothing but the suite and the records. A run asks for it after each
cell: a `Planner` plans each cell once, and a setting again only when one of the records that decide it is another.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lm_lab.benchmark.heads_alone import on_features
from lm_lab.benchmark.racing import PValue, go_on
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
        p_value: of the difference between two tuned values of a race, from their records.
    """

    def __init__(self, suite: Suite, fingerprints: Fingerprints, p_value: PValue = lambda *_: math.nan) -> None:
        self._settings = [_Setting(suite, at, fingerprints, p_value) for at in suite.settings()]

    def __call__(self, records: Mapping[str, CellRecord]) -> Plan:
        """Every cell that the suite has, or may have, now. `records` maps cell ids to what is known."""
        cells = [cell for setting in self._settings for cell in setting.cells(records)]
        return Plan(cells, sum(setting.count for setting in self._settings))


def make_plan(suite: Suite, records: Mapping[str, CellRecord], fingerprints: Fingerprints) -> Plan:
    """Every cell that the suite has, or may have, now. `records` maps cell ids to what is known."""
    return Planner(suite, fingerprints)(records)


def cell_id(config: Mapping[str, Any], fingerprints: Mapping[str, str]) -> str:
    """Hash of the resolved configuration, the data's fingerprint and the weights' hash."""
    content = json.dumps([config, fingerprints], sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()[:16]


class _Setting:
    """The cells of one setting, over its sizes, tuned values and seeds, and what was known when they were planned."""

    def __init__(self, suite: Suite, at: Coordinates, fingerprints: Fingerprints, p_value: PValue) -> None:
        self._suite, self._at, self._fingerprints, self._p_value = suite, at, fingerprints, p_value
        self._sizes, select_at = suite.sizes(at), suite.strategy(at).get("select_at")
        self._tuning_sizes = self._sizes if select_at is None else [select_at]
        self._tuned, self._planned = suite.tuned(at), dict[tuple[Any, ...], PlannedCell]()
        self._race = suite.race if len(self._tuned) > 1 and self._trains_by_steps() else None
        self._deciding: list[PlannedCell] = []
        self._known: list[CellRecord | None] | None = None
        self._cells: list[PlannedCell] = []
        self.count = 0  # how many cells it will have in the end; in a race, if one value goes on

    def cells(self, records: Mapping[str, CellRecord]) -> list[PlannedCell]:
        """Its cells now: the same list until one of the records that the choice is made with is another."""
        known = [records.get(planned.id) for planned in self._deciding]
        if self._known is None or known != self._known:  # records themselves are compared first: nothing if they stay
            self._deciding, self.count = [], 0
            self._cells = list(self._now(records))
            self._known = [records.get(planned.id) for planned in self._deciding]
        return self._cells

    def _now(self, records: Mapping[str, CellRecord]) -> Iterator[PlannedCell]:
        seeds, first, winners = self._suite.seeds, self._suite.selection_seeds, {}
        for size in self._tuning_sizes:
            race = self._runs(size, self._tuned, self._race) if self._race else []
            values = self._going_on(race, records)
            runs = self._runs(size, values)
            self._deciding += [*race, *(runs if len(values) > 1 else [])]
            self.count += len(race) + len(first) * max(1, len(values))
            yield from [*race, *runs]
            winners[size] = values[0] if len(values) == 1 else _winner(runs, records)
        for size in self._sizes:
            tuned = winners[size if size in winners else self._tuning_sizes[0]]
            left = [seed for seed in seeds if size not in winners or seed not in first]
            self.count += len(left)
            if tuned is not None:
                yield from (self._plan(size, tuned, seed) for seed in left)

    def _going_on(self, race: list[PlannedCell], records: Mapping[str, CellRecord]) -> list[dict[str, Any]]:
        """Tuned values that train to the end; none while their race is on."""
        if not race:
            return self._tuned
        found = [records[planned.id] for planned in race if planned.id in records]
        return [] if len(found) < len(race) else [dict(tuned) for tuned in go_on(found, self._p_value)]

    def _trains_by_steps(self) -> bool:
        """False for heads on stored features, of which all values are fitted at once."""
        return not on_features(self._plan(self._tuning_sizes[0], self._tuned[0], self._suite.seeds[0]).config)

    def _runs(self, size: Any, values: list[Any], race: float | None = None) -> list[PlannedCell]:
        return [self._plan(size, tuned, seed, race) for tuned in values for seed in self._suite.selection_seeds]

    def _plan(self, size: Any, tuned: dict[str, Any], seed: int, race: float | None = None) -> PlannedCell:
        key = size, json.dumps(tuned, sort_keys=True), seed, race
        if key not in self._planned:
            cell = self._suite.cell(self._at, size, tuned, seed, race)
            config = self._suite.config(cell)
            prints = self._fingerprints(config)
            self._planned[key] = PlannedCell(cell_id(config, prints), cell, config, prints)
        return self._planned[key]


def _winner(first: list[PlannedCell], records: Mapping[str, CellRecord]) -> dict[str, Any] | None:
    """The tuned value with the best score on held-out examples, once all of `first` are in."""
    known = [records[planned.id] for planned in first if planned.id in records]
    if not first or len(known) < len(first):
        return None
    chosen = choose(candidates(known))
    return dict(chosen.tuned) if chosen else None

"""A suite: a grid over tasks x backbones x strategies (with a size) x any other axis x tuned values x seeds, from YAML.

name: glue_small
seeds: [0, 1, 2]
race: 0.25                                                      share of training after which tuned values may go
keep: best                                                      the winners' deltas stay, in `deltas` of the results
defaults:   {trainer: {...}, model: {...}, data: {...}}         settings of every cell, as in `lm-lab adapt`
backbones:  {NAME: {backbone: {source: ...}, control: false}}   each may override model, data, trainer
tasks:      {NAME: {data: {task: rte}}}                         with class_path, another data module than GLUE
strategies: {NAME: {class_path: LoRA, knob: rank, sizes: [2, 8], tune: {learning_rate: [...]}, select_at: 8}}
axes:       {examples: {data.train_limit: [100, 1000]}}         or {NAME: {VALUE: {model: {...}, data: {...}}}}
exclude:    [{backbone: random, strategy: [lora, adapter]}]
"""

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from lm_lab.benchmark.axes import PLURALS, entries, place
from lm_lab.benchmark.suite_checks import SECTIONS, check_suite
from lm_lab.errors import UsageError
from lm_lab.results.coordinates import BACKBONE, NAMED, STRATEGY, TASK, Cell, Coordinates, Value, coordinates
from lm_lab.yaml_files import read_yaml

GLUE = "lm_lab.data.GLUE"


@dataclass(frozen=True)
class Suite:
    """A checked suite; `source` is what the YAML said."""

    source: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the suite, W&B's group."""
        return self.source["name"]

    @property
    def seeds(self) -> list[int]:
        """Seeds of every reported point."""
        return list(self.source.get("seeds", [0]))

    @property
    def selection_seeds(self) -> list[int]:
        """The first seeds, with which every tuned value runs."""
        return self.seeds[: self.source.get("selection_seeds", 1)]

    @property
    def race(self) -> float | None:
        """Share of training after which tuned values that are clearly behind are given up; None: none is."""
        share: float | None = self.source.get("race")
        return share

    @property
    def keeps_best(self) -> bool:
        """Whether the delta of each setting's winner stays."""
        return self.source.get("keep") == "best"

    @property
    def axes(self) -> dict[str, dict[Value, Mapping[str, Any]]]:
        """Axis -> value -> its entry, for all but the strategies' sizes."""
        named = {axis: self.source[plural] for axis, plural in PLURALS.items()}
        return named | {axis: entries(spec) for axis, spec in self.source.get("axes", {}).items()}

    def settings(self) -> Iterator[Coordinates]:
        """Every combination of the axes that is not excluded, a task at a time: tuned values are selected within it."""
        for values in product(*self.axes.values()):
            at = dict(zip(self.axes, values, strict=True))
            if not any(_excluded(at, rule) for rule in self.source.get("exclude", [])):
                yield Coordinates(at, self.source["strategies"][at[STRATEGY]].get("knob"))

    def variants(self) -> Iterator[Cell]:
        """A cell, with the first seed, of every setting with every size and tuned value that it may have."""
        for setting in self.settings():
            for size, tuned in product(self.sizes(setting), self.tuned(setting)):
                yield self.cell(setting, size, tuned, self.seeds[0])

    def strategy(self, at: Mapping[str, Value]) -> dict[str, Any]:
        """The entry of the strategy of a setting or cell."""
        return self.source["strategies"][at[STRATEGY]]

    def sizes(self, at: Mapping[str, Value]) -> list[Any]:
        """Values of the strategy's knob; [None] for a strategy without one."""
        return list(self.strategy(at).get("sizes", [None]))

    def tuned(self, at: Mapping[str, Value]) -> list[dict[str, Any]]:
        """Every combination of the strategy's tuned values."""
        tune: dict[str, list[Any]] = self.strategy(at).get("tune", {})
        return [dict(zip(tune, values, strict=True)) for values in product(*tune.values())]

    def cell(self, at: Coordinates, size: Any, tuned: dict[str, Any], seed: int, race: float | None = None) -> Cell:
        """A cell of a setting; with `race`, one that ends after that share of its training."""
        knob = self.strategy(at).get("knob")
        cell = Cell(
            coordinates={**at, **({knob: size} if knob else {})},
            knob=knob,
            tuned=tuned,
            seed=seed,
            control=bool(self.axes[BACKBONE][at[BACKBONE]].get("control", False)),
        )
        return cell if race is None else {**cell, "race": race}

    def config(self, cell: Cell) -> dict[str, Any]:
        """The resolved configuration of a cell, in the form `lm-lab adapt` reads."""
        at = cell["coordinates"]
        entry = {axis: values[at[axis]] for axis, values in self.axes.items()}
        config: dict[str, Any] = {section: {} for section in SECTIONS}
        _merge_sections(config, self.source.get("defaults", {}), entry[BACKBONE], entry[TASK], entry[STRATEGY])
        knob = {cell["knob"]: at[cell["knob"]]} if cell["knob"] else {}
        config["model"]["backbone"] = dict(entry[BACKBONE]["backbone"])
        config["model"]["strategy"] = {
            "class_path": _qualified(entry[STRATEGY]["class_path"]),
            "init_args": {**entry[STRATEGY].get("init_args", {}), **knob},
        }
        _merge_sections(config, *(entry[axis] for axis in entry if axis not in NAMED))
        kind = config["data"].pop("class_path", GLUE)
        config["data"] = {"class_path": kind, "init_args": config["data"]}
        for key, value in cell["tuned"].items():
            place(config, key if "." in key else f"model.{key}", value)
        return {"seed_everything": cell["seed"], **config, **({"race": cell["race"]} if "race" in cell else {})}

    def resolved(self, planned: int) -> dict[str, Any]:
        """What `suite.json` keeps."""
        return {**copy.deepcopy(self.source), "seeds": self.seeds, "planned_cells": planned}


def load_suite(path: str | Path) -> Suite:
    """Read and check a suite.

    Raises:
        UsageError: no such file, no valid YAML, or an entry that is missing, unknown or of the wrong kind.
    """
    source = read_yaml(path, "suite")
    check_suite(source, str(path))
    suite = Suite(source)
    if not any(suite.settings()):
        raise UsageError(f"{path}, exclude: nothing is left of the suite.")
    _require_distinct(suite, path)
    return suite


def _require_distinct(suite: Suite, path: str | Path) -> None:
    """A cell is known by what it does, so two entries that do the same would have one result between them."""
    known: dict[str, str] = {}
    for cell in suite.variants():
        name, content = coordinates(cell).label, json.dumps(suite.config(cell), sort_keys=True)
        if (other := known.setdefault(content, name)) != name:
            raise UsageError(f"{path}: '{other}' and '{name}' are the same run; exclude one of them.")


def _excluded(at: Mapping[str, Value], rule: Mapping[str, Any]) -> bool:
    wanted = {axis: values if isinstance(values, list) else [values] for axis, values in rule.items()}
    return all(at[axis] in values for axis, values in wanted.items())


def _qualified(class_path: str) -> str:
    return class_path if "." in class_path else f"lm_lab.strategies.{class_path}"


def _merge_sections(config: dict[str, Any], *entries: Mapping[str, Any]) -> None:
    for entry in entries:
        for section in SECTIONS:
            _merge(config[section], entry.get(section, {}))


def _merge(into: dict[str, Any], new: Mapping[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)

"""A suite: a grid over backbones x strategies (with a size knob) x tasks x tuned values x seeds, read from YAML.

name: glue_small
seeds: [0, 1, 2]
defaults:   {trainer: {...}, model: {...}, data: {...}}         settings of every cell, as in `lm-lab adapt`
backbones:  {NAME: {backbone: {source: ...}, control: false}}   each may override model, data, trainer
tasks:      {NAME: {data: {task: rte}}}                         with class_path, another data module than GLUE
strategies: {NAME: {class_path: LoRA, knob: rank, sizes: [2, 8], tune: {learning_rate: [...]}, select_at: 8}}
exclude:    [{backbone: random, strategy: [lora, adapter]}]
"""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from lm_lab.benchmark.suite_checks import SECTIONS, check_suite
from lm_lab.errors import UsageError
from lm_lab.results.records import Cell
from lm_lab.yaml_files import read_yaml

GLUE = "lm_lab.data.glue.GLUE"


@dataclass(frozen=True)
class Setting:
    """One (backbone, strategy, task) of the grid: the unit within which tuned values are selected."""

    backbone: str
    strategy: str
    task: str


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

    def settings(self) -> Iterator[Setting]:
        """Every (backbone, strategy, task) that is not excluded, a task at a time."""
        for task, backbone, strategy in product(*(self.source[key] for key in ("tasks", "backbones", "strategies"))):
            setting = Setting(backbone, strategy, task)
            if not any(_excluded(setting, rule) for rule in self.source.get("exclude", [])):
                yield setting

    def variants(self) -> Iterator[tuple[Setting, Any, dict[str, Any]]]:
        """Every setting with every size and tuned value that a cell may have."""
        for setting in self.settings():
            for size, tuned in product(self.sizes(setting.strategy), self.tuned(setting.strategy)):
                yield setting, size, tuned

    def strategy(self, name: str) -> dict[str, Any]:
        """The entry of a strategy."""
        return self.source["strategies"][name]

    def sizes(self, strategy: str) -> list[Any]:
        """Values of the strategy's knob; [None] for a strategy without one."""
        return list(self.strategy(strategy).get("sizes", [None]))

    def tuned(self, strategy: str) -> list[dict[str, Any]]:
        """Every combination of the strategy's tuned values."""
        tune: dict[str, list[Any]] = self.strategy(strategy).get("tune", {})
        return [dict(zip(tune, values, strict=True)) for values in product(*tune.values())]

    def cell(self, setting: Setting, size: Any, tuned: dict[str, Any], seed: int) -> Cell:
        """The coordinates of a cell."""
        return Cell(
            backbone=setting.backbone,
            strategy=setting.strategy,
            knob=self.strategy(setting.strategy).get("knob"),
            size=size,
            task=setting.task,
            tuned=tuned,
            seed=seed,
            control=bool(self.source["backbones"][setting.backbone].get("control", False)),
        )

    def config(self, cell: Cell) -> dict[str, Any]:
        """The resolved configuration of a cell, in the form `lm-lab adapt` reads."""
        backbone = self.source["backbones"][cell["backbone"]]
        strategy = self.strategy(cell["strategy"])
        layers = [self.source.get("defaults", {}), backbone, self.source["tasks"][cell["task"]], strategy]
        config: dict[str, Any] = {section: {} for section in SECTIONS}
        for layer in layers:
            for section in SECTIONS:
                _merge(config[section], layer.get(section, {}))
        knob = {cell["knob"]: cell["size"]} if cell["knob"] else {}
        config["model"]["backbone"] = dict(backbone["backbone"])
        config["model"]["strategy"] = {
            "class_path": _qualified(strategy["class_path"]),
            "init_args": {**strategy.get("init_args", {}), **knob},
        }
        kind = config["data"].pop("class_path", GLUE)
        config["data"] = {"class_path": kind, "init_args": config["data"]}
        for key, value in cell["tuned"].items():
            _set(config, key if "." in key else f"model.{key}", value)
        return {"seed_everything": cell["seed"], **config}

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
    for setting, size, tuned in suite.variants():
        cell = suite.cell(setting, size, tuned, suite.seeds[0])
        parts = [
            setting.task,
            setting.backbone,
            setting.strategy,
            *([] if size is None else [f"{cell['knob']}={size}"]),
        ]
        name, content = ", ".join(parts), json.dumps(suite.config(cell), sort_keys=True)
        if (other := known.setdefault(content, name)) != name:
            raise UsageError(f"{path}: '{other}' and '{name}' are the same run; exclude one of them.")


def _excluded(setting: Setting, rule: Mapping[str, str | Sequence[str]]) -> bool:
    wanted = {key: [value] if isinstance(value, str) else value for key, value in rule.items()}
    return all(getattr(setting, key) in values for key, values in wanted.items())


def _qualified(class_path: str) -> str:
    return class_path if "." in class_path else f"lm_lab.strategies.{class_path}"


def _merge(into: dict[str, Any], new: Mapping[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)


def _set(config: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        config = config.setdefault(parent, {})
        if not isinstance(config, dict):
            raise UsageError(f"tune: '{path}' cannot be set, since '{parent}' is {config!r:.60}.")
    config[last] = value

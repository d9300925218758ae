"""The project's configurations and suites in a folder of their own, with less to do: what a command's words name."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pages import ROOT

from lm_lab.results.predictions import read_predictions
from lm_lab.results.records import read_records, write_record

# the most that a cell of a suite and a pretraining may have; all strategies and tasks stay
CELL = {"max_epochs": 1, "train_limit": 16, "validation_limit": 8, "holdout": 8}
PRETRAINING = {"documents": 48, "held_out": 16, "batch_size": 8, "max_time": "00:00:00:01"}
# of 28 pretrained models, one and its control; tests/benchmark/test_objectives_script.py is about the others
BACKBONES = ("mlm", "random_bert")
FONT = "unifont.hex"  # of the reader's; Debian's need not be installed
WORDS = ["bad", "good"]  # of the microworld, in place of a task's own
RESULTS = ("glue_small", "squad", "choices")  # that commands and examples read
CELLS = 20  # of each: a report is drawn of what there is


def copy_small(folder: Path) -> None:
    """Write `configs` and `benchmarks` into a folder."""
    shutil.copytree(ROOT / "configs", folder / "configs")
    for path in (folder / "configs/pretraining").glob("*.yaml"):
        _rewrite(path, _pretraining)
    _rewrite(folder / "configs/trainer/one_hour.yaml", lambda settings: _capped(settings, PRETRAINING))
    for name in RESULTS:
        _results(ROOT / "benchmarks/results" / name, folder / "benchmarks/results" / name)
    for path in (ROOT / "benchmarks").glob("*.yaml"):
        shutil.copy(path, folder / "benchmarks")
        _rewrite(folder / "benchmarks" / path.name, _suite)


def _results(committed: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in ("suite.json", "baselines.json"):
        shutil.copy(committed / name, folder / name)
    for record in read_records(committed)[:CELLS]:
        write_record(folder, record, read_predictions(committed, record["id"]))


def _rewrite(path: Path, change: Callable[[Any], Any]) -> None:
    path.write_text(yaml.safe_dump(change(yaml.safe_load(path.read_text())), sort_keys=False, allow_unicode=True))


def _pretraining(settings: dict[str, Any]) -> dict[str, Any]:
    settings["data"].setdefault("held_out", PRETRAINING["held_out"])  # else 1,000
    return _capped(settings, PRETRAINING)


def _suite(settings: dict[str, Any]) -> dict[str, Any]:
    """One seed, and the first rate and size of every strategy."""
    settings["seeds"] = settings["seeds"][:1]
    for strategy in settings["strategies"].values():
        strategy["tune"] = {name: values[:1] for name, values in strategy.get("tune", {}).items()}
        if "Prompting" in strategy["class_path"]:
            strategy["init_args"] = strategy.get("init_args", {}) | {"words": WORDS}
        if "knob" in strategy:
            strategy["sizes"] = [strategy.get("select_at", strategy["sizes"][0])]
    if settings["name"].startswith("objectives"):
        settings["backbones"] = {name: settings["backbones"][name] for name in BACKBONES}
    for backbone in settings["backbones"].values():
        embeddings = backbone["backbone"].get("init_args", {}).get("embeddings", {})
        if "GlyphCNN" in embeddings.get("class_path", ""):
            embeddings["init_args"]["font"] = FONT
    return _capped(settings | {"defaults": _limited(settings["defaults"])}, CELL)


def _limited(defaults: dict[str, Any]) -> dict[str, Any]:
    """Limits also where a suite takes whole splits."""
    limits = {name: CELL[name] for name in ("train_limit", "validation_limit")}
    return defaults | {"data": limits | defaults.get("data", {})}


def _capped(value: Any, caps: Mapping[str, Any], name: str = "") -> Any:
    """The same settings, of which none is above its cap."""
    if isinstance(value, dict):
        return {key: _capped(item, caps, key) for key, item in value.items()}
    return caps[name] if name in caps and (isinstance(value, str) or value > caps[name]) else value

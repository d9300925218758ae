"""A saved delta as the adaptation it came from."""

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.strategies import AdaptationStrategy
from lm_lab.tasks import saved
from lm_lab.training import delta
from lm_lab.training.adaptation import Adaptation


def load_adaptation(folder: str | Path, trusted: tuple[str, ...] = ("lm_lab",)) -> Adaptation:
    """Build the adaptation that `folder` describes, and load its delta; in eval mode.

    Args:
        folder: written by `lm-lab adapt fit`.
        trusted: packages that its strategy and task may come from: a description names classes to import.

    Raises:
        UsageError: no delta there, a strategy from elsewhere, or a backbone that cannot be found or has changed.
    """
    description = delta.read_description(folder)
    model = description["config"]["model"]
    for named in (model["strategy"], description["task"]):
        _require_trusted(named, trusted, folder)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--strategy", type=AdaptationStrategy)
    strategy = parser.instantiate(parser.parse_object({"strategy": model["strategy"]})).strategy
    task = saved.build(description["task"])
    backbone = Backbone(**model["backbone"])
    reading = {name: model.get(name) for name in ("pooling", "pairs", "head", "delimiter")}
    adaptation = Adaptation(backbone, strategy, task, **reading)
    delta.load(adaptation, folder)
    return adaptation.eval()


def _require_trusted(spec: Any, trusted: tuple[str, ...], folder: str | Path) -> None:
    if isinstance(spec, dict):
        paths = [path for path in (spec.get("class_path", ""), *spec.get("metrics", ())) if path]
        for path in paths:
            if path.split(".")[0] in trusted:
                continue
            raise UsageError(f"the delta in '{folder}' names the class {path}, outside of {', '.join(trusted)}.")
        for value in spec.values():
            _require_trusted(value, trusted, folder)
    elif isinstance(spec, list):
        for value in spec:
            _require_trusted(value, trusted, folder)

"""A saved delta as the adaptation it came from."""

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.strategies import AdaptationStrategy
from lm_lab.tasks import glue_task
from lm_lab.training import delta
from lm_lab.training.adaptation import Adaptation


def load_adaptation(folder: str | Path, trusted: tuple[str, ...] = ("lm_lab",)) -> Adaptation:
    """Build the adaptation that `folder` describes, and load its delta; in eval mode.

    Args:
        folder: written by `lm-lab adapt fit`.
        trusted: packages that its strategy may come from: a description names classes to import.

    Raises:
        UsageError: no delta there, a strategy from elsewhere, or a backbone that cannot be found or has changed.
    """
    config = delta.read_description(folder)["config"]
    model = config["model"]
    _require_trusted(model["strategy"], trusted, folder)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--strategy", type=AdaptationStrategy)
    strategy = parser.instantiate_classes(parser.parse_object({"strategy": model["strategy"]})).strategy
    task = glue_task(config["data"]["init_args"]["task"])
    adaptation = Adaptation(
        Backbone(**model["backbone"]), strategy, task, pooling=model["pooling"], pairs=model["pairs"]
    )
    delta.load(adaptation, folder)
    return adaptation.eval()


def _require_trusted(spec: Any, trusted: tuple[str, ...], folder: str | Path) -> None:
    if isinstance(spec, dict):
        path = spec.get("class_path", "")
        if path and path.split(".")[0] not in trusted:
            raise UsageError(f"the delta in '{folder}' names the class {path}, outside of {', '.join(trusted)}.")
        for value in spec.values():
            _require_trusted(value, trusted, folder)
    elif isinstance(spec, list):
        for value in spec:
            _require_trusted(value, trusted, folder)

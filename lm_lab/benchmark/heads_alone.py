"""Which cells train nothing but a head on vectors of texts that never change, as their configuration says."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from lm_lab.data.modules.text_data import TextData
from lm_lab.strategies.base import AdaptationStrategy

KNOWN = {"max_epochs", "max_steps", "precision", "accelerator", "gradient_clip_val", "gradient_clip_algorithm"}


def on_features(config: Mapping[str, Any]) -> bool:
    """True for a cell that can be one of many fitted to stored features (`lm_lab.benchmark.probes`)."""
    model, trainer, strategy = config["model"], config["trainer"], config["model"]["strategy"]
    kind = named(strategy["class_path"])
    if not kind.trains or kind.beside is not AdaptationStrategy.beside or model.get("pooling") in ("attention", "lstm"):
        return False
    data = config["data"]
    text = issubclass(named(data["class_path"]), TextData) and not data.get("init_args", {}).get("tokens_per_batch")
    return text and trainer.keys() <= KNOWN and kind(**strategy.get("init_args", {})).head_alone


def named(path: str) -> Any:
    """The class of that path; of a short name, the data module."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module or "lm_lab.data"), name)

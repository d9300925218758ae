"""What a run is called where its user gave no name: "sst2-MiniLM-L3-v2-lora-rank8-seed0"."""

import dataclasses
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

from lm_lab.models.adapted import AdaptedModel


class Names(NamedTuple):
    """Of a run: what is shown, what it stands beside, what kind it is, and what it can be found by."""

    name: str
    group: str
    job_type: str
    tags: tuple[str, ...]
    backbone: str


def of_adaptation(model: AdaptedModel, seed: Any) -> Names:
    """Task, backbone, strategy with its size, and seed."""
    backbone, strategy = of_backbone(model.backbone.description), type(model.strategy).__name__
    words = [model.task.name, backbone, strategy.lower(), *sizes(model.strategy), f"seed{seed}"]
    return Names("-".join(words), model.task.name, strategy, (backbone, model.task.name), backbone)


def of_pretraining(objective: Any, backbone: Any, config: Mapping[str, Any]) -> Names:
    """Text, backbone, objective and seed."""
    source = config.get("data", {}).get("source", "text")
    text = "-".join(PurePath(str(part)).stem for part in (source if isinstance(source, list) else [source]))
    kind, named = type(objective).__name__, of_backbone(backbone.description)
    name = "-".join([text, named, kind.lower(), f"seed{config.get('seed_everything')}"])
    return Names(name, text, kind, (named, text), named)


def of_backbone(description: Mapping[str, Any]) -> str:
    """The last part of where its weights are, or its class."""
    source = description.get("source") or description.get("init_args", {}).get("source")
    return PurePath(source).stem if isinstance(source, str) else str(description["class_path"]).rpartition(".")[2]


def sizes(strategy: Any) -> list[str]:
    """The first setting that is a whole number, which is a strategy's size, and all that differ from their defaults."""
    found: list[str] = []
    for field in dataclasses.fields(strategy):
        value = getattr(strategy, field.name)
        sized = not found and type(value) is int
        if isinstance(value, bool | int | float | str) and (sized or value != field.default):
            found.append(f"{field.name}{value}".replace(" ", ""))
    return found

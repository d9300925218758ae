"""The settings that decide on the result of a run: what makes two commands one run, and may not change in its middle.

Where things are, how fast and how loudly they go, is none of it: worker processes, devices (as long as there are as
many processes), loggers, evaluation batches, callbacks that only watch.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import lightning as L

_TRAINER = {
    "precision", "max_epochs", "max_steps", "max_time", "min_epochs", "min_steps", "accumulate_grad_batches",
    "gradient_clip_val", "gradient_clip_algorithm", "limit_train_batches", "overfit_batches",
}  # fmt: skip
_DATA_FREE = {"num_workers", "eval_batch_size", "source", "text", "predict", "name", "validation", "validation_limit"}
_COMPILE = "model.compile"
_CALLBACKS = ("lm_lab.training.callbacks.batch_size_warmup.", "BatchSizeWarmup")
_CARRIED = ("model.learning_rate", "model.optimizer.init_args", "model.scheduler", "model.lm_weight")


def deciding(config: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names and plain values of what decides, of the whole configuration of a fit as plain data."""
    trainer = config.get("trainer") or {}
    callbacks = trainer.get("callbacks") or []
    growing = [c for c in callbacks if isinstance(c, dict) and str(c.get("class_path", "")).startswith(_CALLBACKS)]
    kept = {
        "seed_everything": config.get("seed_everything"),
        "model": config.get("model") or {},
        "data": config.get("data") or {},
        "trainer": {name: value for name, value in trainer.items() if name in _TRAINER},
        "callbacks": {str(number): callback for number, callback in enumerate(growing)},
    }
    return {name: value for name, value in _flat(kept, "") if not _free(name)}


def key(config: Mapping[str, Any]) -> str:
    """Sixteen digits that two commands share if they are one run: settings, and where data and result are."""
    places = dict(_flat({section: config.get(section) for section in ("data", "save")}, ""))
    where = [places.get(name) for name in ("data.source", "data.init_args.source", "save.output")]
    text = json.dumps([deciding(config), where], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def identity(trainer: L.Trainer, module: Any, settings: Mapping[str, Any], data: Any) -> dict[str, Any]:
    """What a checkpoint is of, as plain values: settings, data and weights by their content, and processes."""
    backbone: Any = getattr(module, "backbone", None)
    return dict(settings) | {
        "data": data.fingerprint() if hasattr(data, "fingerprint") else None,
        "weights": getattr(backbone, "fingerprint", None),
        "processes": trainer.world_size,
    }


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """What differs: name, value in the checkpoint, value now; a name that one lacks is None there."""
    names = [*before, *(name for name in now if name not in before)]
    return [(name, before.get(name), now.get(name)) for name in names if before.get(name) != now.get(name)]


def carries(name: str) -> bool:
    """True if a run can go on with another value of this setting: its parameters stay what they are."""
    return (not name.startswith("model.") and name != "weights") or name.startswith(_CARRIED)


def _free(name: str) -> bool:
    parts = [part for part in name.split(".") if part != "init_args"]
    return name == _COMPILE or (parts[0] == "data" and len(parts) > 1 and parts[1] in _DATA_FREE)


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key_, inner in value.items():
            yield from _flat(inner, f"{name}.{key_}" if name else str(key_))
    else:
        yield name, value

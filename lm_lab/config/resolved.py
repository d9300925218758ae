"""What a null in a configuration came to: known once model and Trainer are built, and kept beside the run."""

from typing import Any

import lightning as L
import yaml
from jsonargparse import dict_to_namespace

from lm_lab.described import factory

_TRAINER = (
    "precision", "max_epochs", "limit_train_batches", "limit_val_batches", "limit_test_batches",
    "limit_predict_batches", "num_sanity_val_steps", "val_check_interval",
)  # fmt: skip
_MODULE = ("learning_rate", "optimizer", "scheduler")
_MODEL = {"pooling": "pooling", "head": "head_kind"}  # a setting and the model's attribute


def resolve(config: Any, trainer: L.Trainer, module: L.LightningModule) -> None:
    """Replace the nulls of a fit's settings, in place, by the values that it runs with, where these are plain.

    Args:
        config: of the subcommand, with `model` and `trainer`; what is given stays.
        trainer: what was built of it.
        module: an `Adaptation` or a `Pretraining`.
    """
    for name in _TRAINER:
        _fill(config.trainer, name, getattr(trainer, name, None))
    for name in _MODULE:
        _fill(config.model, name, getattr(module, name, None))
    model = getattr(module, "model", None)
    for name, attribute in _MODEL.items():
        _fill(config.model, name, getattr(model, attribute, None))


def plain(parser: Any, config: Any) -> dict[str, Any]:
    """The settings of a fit as mappings, lists, numbers and words."""
    found: dict[str, Any] = yaml.safe_load(parser.dump(config, skip_none=False, skip_validation=True))
    return found


def _fill(settings: Any, name: str, value: Any) -> None:
    if name not in settings or settings[name] is not None or value is None:
        return
    settings[name] = value if isinstance(value, str | int | float) else dict_to_namespace(factory(value))

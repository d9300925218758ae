"""A data module from its plain description."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from lm_lab.data.modules.base import TaskData


def data_of(spec: Mapping[str, Any]) -> TaskData:
    """The data module that `TaskData.spec` describes. Its class is imported: of a stranger's, ask `models.trust` first.

    Args:
        spec: `class_path` and `init_args`.
    """
    module, _, name = spec["class_path"].rpartition(".")
    found: TaskData = getattr(import_module(module), name)(**spec["init_args"])
    return found

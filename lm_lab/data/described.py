"""A data module from its plain description."""

from collections.abc import Mapping
from typing import Any

from lm_lab.data.modules.base import TaskData
from lm_lab.described import named


def data_of(description: Mapping[str, Any]) -> TaskData:
    """The data module that `TaskData.description` describes. Of a stranger's, ask `models.trust` first.

    Args:
        description: `class_path` and `init_args`.
    """
    found: TaskData = named(description["class_path"])(**description["init_args"])
    return found

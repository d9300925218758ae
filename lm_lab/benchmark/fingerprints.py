"""What a cell was computed from: hashes of its data and weights."""

import copy
import json
from collections.abc import Callable
from functools import cache
from typing import Any

from jsonargparse import ArgumentParser

import lm_lab.config.adapting  # noqa: F401  the parser finds short class names among what is imported
from lm_lab.config.backbones import identify
from lm_lab.data.modules.base import TaskData


def build_data(config: dict[str, Any]) -> TaskData:
    """The data module of a cell's configuration, of which it gets a copy: the parser writes into it."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--data", type=TaskData)
    data: TaskData = parser.instantiate(parser.parse_object({"data": copy.deepcopy(config)})).data
    return data


def cache_fingerprints() -> Callable[[dict[str, Any]], dict[str, str]]:
    """A function from a cell's configuration to the fingerprints of its data and weights, each computed once."""

    @cache
    def data_print(arguments: str) -> str:
        return build_data(json.loads(arguments)).fingerprint()

    @cache
    def weights_print(arguments: str) -> str:
        return identify(json.loads(arguments))

    def prints(config: dict[str, Any]) -> dict[str, str]:
        data, backbone = config["data"], config["model"]["backbone"]
        return {
            "data": data_print(json.dumps(data, sort_keys=True)),
            "weights": weights_print(json.dumps(backbone, sort_keys=True)),
        }

    return prints

"""What is wrong in a suite is found before its first cell trains: every distinct setting is parsed and built.

Models stand on the meta device with random weights, where the family allows it, so nothing is loaded or computed. Data
modules are built, which read labels and no more; a Trainer is built, which starts nothing.
"""

import copy
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import lightning as L
import torch
from jsonargparse import ArgumentParser

from lm_lab.backbones import UNNAMED
from lm_lab.benchmark.cells import TRAINER
from lm_lab.benchmark.fingerprints import build_data
from lm_lab.benchmark.suite import Suite
from lm_lab.config.backbones import outline
from lm_lab.config.checks import require_device
from lm_lab.config.imports import restrict
from lm_lab.config.lightning_cli import quiet
from lm_lab.data.modules.base import TaskData
from lm_lab.errors import UsageError
from lm_lab.renamed import hint
from lm_lab.results.coordinates import NAMED, STRATEGY, TASK, coordinates
from lm_lab.tasks import Task
from lm_lab.training.adaptation import adaptation_of

_TRUST = "trust_remote_code"
_LONGEST = 400  # signs of a message: jsonargparse's may list every type that was tried
Config = dict[str, Any]


def check_settings(suite: Suite, trust_remote_code: bool = False, imports: Sequence[str] = ()) -> None:
    """Build what the cells of `suite` build, each distinct thing once.

    Raises:
        UsageError: something cannot be built, named by the suite's entries; or it asks to run code that comes with
            weights, which the command line alone may allow.
    """
    restrict(imports)  # before anything that the suite names is imported
    built: dict[str, Any] = {}

    def once(where: str, kind: Any, build: Callable[[], Any]) -> Any:
        key = json.dumps(kind, sort_keys=True)
        if key not in built:
            with _told(f"the suite '{suite.name}', {where}"):
                built[key] = build()
        return built[key]

    with _silent():
        for cell in suite.variants():
            config, at = suite.config(cell), coordinates(cell)
            others = [f"{name}={value}" for name, value in [*at.without(*NAMED).items(), *cell["tuned"].items()]]
            settings = "".join(f", {setting}" for setting in others)
            on = f"strategy '{at[STRATEGY]}'{settings}, backbone '{at.backbone}'"
            once(on, ["trust", config], partial(_require_trust, config, trust_remote_code))
            data: TaskData = once(f"task '{at[TASK]}'{settings}", config["data"], partial(build_data, config["data"]))
            if len(suite.tuned(at)) > 1 and not data.holdout:
                raise UsageError(
                    f"the suite '{suite.name}', {on}, task '{at[TASK]}': the best of several tuned values is chosen on "
                    "held-out training examples, and there are none; set data.holdout, or leave one value."
                )
            once(on, config["trainer"], partial(_build_trainer, config["trainer"]))
            once(on, config["model"], partial(_parse_model, config["model"]))
            shape = {key: value for key, value in config["model"].items() if key != "learning_rate"}
            form = [shape, type(data.task).__name__, data.task.paired]
            once(f"{on}, task '{at[TASK]}'", form, partial(_build_model, shape, data.task))


def _require_trust(config: Config, allowed: bool) -> None:
    if _asks_for_trust(config) and not allowed:
        raise UsageError(
            f"{_TRUST} runs code that comes with the weights, which no file may allow: read that code, then say "
            "--trust-remote-code."
        )


def _asks_for_trust(value: Any) -> bool:
    if isinstance(value, dict):
        return bool(value.get(_TRUST)) or any(map(_asks_for_trust, value.values()))
    return isinstance(value, list) and any(map(_asks_for_trust, value))


def _build_trainer(config: Config) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(L.Trainer, "trainer", instantiate=False)
    parsed = parser.parse_object({"trainer": copy.deepcopy(config) | TRAINER})
    require_device(parsed.trainer)
    L.Trainer(**parser.instantiate(parsed).trainer)


def _parse_model(config: Config) -> None:
    _model_parser().parse_object({"model": copy.deepcopy(config)})


def _build_model(config: Config, task: Task) -> None:
    if _asks_for_trust(config["backbone"]):
        return  # code of others runs in the workers alone
    backbone, static = outline(config["backbone"])
    config = copy.deepcopy(config) | {"backbone": backbone}
    parser = _model_parser()
    # what needs numbers cannot stand on the meta device; its cells will tell what is wrong
    with torch.device("meta" if static else "cpu"), suppress(NotImplementedError, RuntimeError):
        adaptation_of(task=task, **parser.instantiate(parser.parse_object({"model": config})).model)


def _model_parser() -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_function_arguments(adaptation_of, "model", skip={"task"})
    parser.set_defaults({"model.backbone": UNNAMED})
    return parser


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Say by which entry of the suite something came, in one line."""
    try:
        yield
    except Exception as error:
        raise UsageError(f"{where}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, UsageError):
        cause = cause.__cause__
    text = " ".join(str(cause or error).split())
    return (text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ...") + hint(text)


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing of what is built here is used; a cell warns when it runs."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)

"""A cell built from its configuration as the command line would, and what the suite promised of it."""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import lightning as L
from jsonargparse import ArgumentParser

from lm_lab.backbones import Backbone
from lm_lab.benchmark.plan import PlannedCell
from lm_lab.config.adapting import AdaptCLI, build
from lm_lab.config.building import build as build_object
from lm_lab.config.lightning_cli import quiet
from lm_lab.data.batching import ResumableLoader
from lm_lab.data.modules.base import HELD_OUT, TaskData
from lm_lab.errors import UsageError
from lm_lab.results.coordinates import BACKBONE, TASK
from lm_lab.tasks import Task
from lm_lab.training.adaptation import Adaptation, adaptation_of
from lm_lab.training.callbacks.watching import StopAfter

TRAINER = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "limit_val_batches": 0,  # evaluation comes once, after training, on a clock of its own
    "num_sanity_val_steps": 0,
}


def built(planned: PlannedCell, *callbacks: L.Callback) -> AdaptCLI:
    """Model, data and trainer of a cell, seeded.

    Raises:
        UsageError: the data or the weights are no longer those that the cell was planned with.
    """
    config = planned.config | {"trainer": planned.config["trainer"] | TRAINER}
    share = config.pop("race", None)
    ends = [] if share is None else [StopAfter(share)]
    cli = build(config, run=False, callbacks=(*callbacks, *ends))
    # read once, so that what is hashed is what is trained and scored on
    cli.datamodule.rows = cache(cli.datamodule.rows)
    _require_same(planned, cli)
    return cli


def another(planned: PlannedCell, backbone: Backbone, task: Task, again: bool = False) -> Adaptation:
    """The model of a cell around a backbone that is there, and that its strategy leaves as it is; seeded as `built`.

    With `again` the backbone is built once more and dropped, for the random numbers that this draws.
    """
    config = {name: value for name, value in planned.config["model"].items() if name != "backbone"}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_function_arguments(adaptation_of, "model", skip={"backbone", "task"})
    parser.add_instantiator(build_object, object)
    L.seed_everything(planned.config["seed_everything"], verbose=False)
    if again:
        backbone.again()
    settings = parser.instantiate(parser.parse_object({"model": copy.deepcopy(config)})).model
    return adaptation_of(backbone, task=task, **settings)


def judged_on(planned: PlannedCell, data: TaskData) -> list[ResumableLoader]:
    """Loaders of the validation splits and of the held-out part of train; of a run of a race, of that part alone."""
    return [
        loader
        for split, loader in zip(data.evaluated, data.val_dataloader(), strict=True)
        if split == HELD_OUT or "race" not in planned.config
    ]


@contextmanager
def silent() -> Iterator[None]:
    """A worker has no one to warn; counts are in the data module's log."""
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _require_same(planned: PlannedCell, cli: AdaptCLI) -> None:
    """Raise a UsageError if the data or the weights are no longer those that the cell was planned with."""
    found = {"data": cli.datamodule.fingerprint()}
    if cli.model.backbone.pretrained:
        found["weights"] = cli.model.backbone.fingerprint
    for what, print_ in found.items():
        if (expected := planned.fingerprints[what]) != print_:
            where = planned.cell["coordinates"][TASK if what == "data" else BACKBONE]
            raise UsageError(
                f"the {what} of '{where}' changed while the suite ran: {expected} when it was planned, {print_} now. "
                "The same command plans new cells for what is there now."
            )

"""Which waiting cells go out as one job: those that one pass over the backbone can train."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any

from lm_lab.benchmark.plan import PlannedCell
from lm_lab.results.records import CellRecord

ANY_RUN = ("seed_everything",)  # in what the runs of a pack may differ, beside their rate and what a strategy allows
NEEDS_ITS_OWN = ("callbacks", "max_time", "devices", "strategy", "accumulate_grad_batches")


@cache  # a run asks for all that wait after each cell
def key(planned: PlannedCell) -> str | None:
    """What cells of one pack have in common; None for a cell that runs alone."""
    config = planned.config
    model, trainer = dict(config["model"]), config["trainer"]
    strategy = dict(model["strategy"])
    kind = _class(strategy["class_path"])
    if (
        not kind.packs
        or any(trainer.get(name) for name in NEEDS_ITS_OWN)
        or str(trainer.get("precision")) == "16-mixed"
    ):
        return None
    if model.get("frozen_dropout") or model.get("lm_weight"):
        return None
    model.pop("learning_rate", None)
    given = strategy.get("init_args", {})
    model["strategy"] = strategy | {"init_args": {k: v for k, v in given.items() if k not in kind.may_differ}}
    rest = {name: value for name, value in config.items() if name not in ANY_RUN} | {"model": model}
    if not model["backbone"].get("init_args", model["backbone"]).get("pretrained", True):  # drawn with the run's seed
        rest["seed"] = config["seed_everything"]
    return json.dumps([rest, planned.fingerprints], sort_keys=True)


def grouped(
    waiting: Sequence[PlannedCell],
    most: int,
    workers: int = 1,
    apart: Iterable[str] = (),
    clocked: int | None = None,
) -> list[tuple[PlannedCell, ...]]:
    """The waiting cells as jobs, in the order of their first cells.

    Args:
        waiting: what has no record.
        most: cells of a job; 1: each is alone.
        workers: among which cells of one kind are dealt out.
        apart: keys of what is known not to gain by it.
        clocked: seed whose cells are alone, since their time is measured.
    """
    kinds: dict[str, list[PlannedCell]] = {}
    known = set(apart)
    for planned in waiting:
        shared = key(planned) if most > 1 and planned.cell["seed"] != clocked else None
        kinds.setdefault(planned.id if shared is None or shared in known else shared, []).append(planned)
    jobs: list[tuple[PlannedCell, ...]] = []
    for cells in kinds.values():
        size = max(1, min(most, -(-len(cells) // workers)))
        jobs += [tuple(cells[at : at + size]) for at in range(0, len(cells), size)]
    return jobs


def known_apart(planned: Iterable[PlannedCell], records: Mapping[str, CellRecord]) -> set[str]:
    """Keys of those cells whose records say that a pack of their kind gains nothing."""
    found = (key(cell) for cell in planned if records.get(cell.id, {}).get("apart"))
    return {shared for shared in found if shared}


def _class(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)

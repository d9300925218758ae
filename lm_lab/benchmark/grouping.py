"""Which waiting cells go out as one job: those that one pass over the backbone can train."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from lm_lab.benchmark.heads_alone import named, on_features
from lm_lab.benchmark.plan import PlannedCell
from lm_lab.results.records import CellRecord

ANY_RUN = ("seed_everything",)  # in what the runs of a pack may differ, beside their rate and what a strategy allows
NEEDS_ITS_OWN = ("callbacks", "max_time", "devices", "strategy", "accumulate_grad_batches")

OWN_TO_A_PROBE = ("strategy", "pooling", "learning_rate", "optimizer", "scheduler", "head")


@cache  # a run asks for all that wait after each cell
def key(planned: PlannedCell) -> str | None:
    """What cells of one pack have in common; None for a cell that runs alone."""
    if on_features(planned.config):
        return _features_key(planned)
    config = planned.config
    model, trainer = dict(config["model"]), config["trainer"]
    strategy = dict(model["strategy"])
    kind = named(strategy["class_path"])
    if (
        not kind.packs
        or any(trainer.get(name) for name in NEEDS_ITS_OWN)
        or str(trainer.get("precision")) == "16-mixed"
    ):
        return None
    # runs of a pack take batches of one size
    if model.get("frozen_dropout") or model.get("lm_weight") or config["data"]["init_args"].get("tokens_per_batch"):
        return None
    model.pop("learning_rate", None)
    given = strategy.get("init_args", {})
    model["strategy"] = strategy | {"init_args": {k: v for k, v in given.items() if k not in kind.may_differ}}
    rest = {name: value for name, value in config.items() if name not in ANY_RUN} | {"model": model}
    return json.dumps([rest, _seed(planned), planned.fingerprints], sort_keys=True)


def _features_key(planned: PlannedCell) -> str:
    """Data, backbone and trainer: one pass gives every layer and pooling, and each run has its own rate and batches."""
    config = planned.config
    model = {name: value for name, value in config["model"].items() if name not in OWN_TO_A_PROBE}
    shared = [model, config["data"], config["trainer"], _seed(planned), planned.fingerprints]
    return json.dumps(shared, sort_keys=True)


def _seed(planned: PlannedCell) -> int | None:
    """The run's, where weights are drawn with it."""
    backbone = planned.config["model"]["backbone"]
    drawn = not backbone.get("init_args", backbone).get("pretrained", True)
    return planned.config["seed_everything"] if drawn else None


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
        # probes share one pass over the texts, however many they are
        size = len(cells) if on_features(cells[0].config) else max(1, min(most, -(-len(cells) // workers)))
        jobs += [tuple(cells[at : at + size]) for at in range(0, len(cells), size)]
    return jobs


def known_apart(planned: Iterable[PlannedCell], records: Mapping[str, CellRecord]) -> set[str]:
    """Keys of those cells whose records say that a pack of their kind gains nothing."""
    found = (key(cell) for cell in planned if records.get(cell.id, {}).get("apart"))
    return {shared for shared in found if shared}

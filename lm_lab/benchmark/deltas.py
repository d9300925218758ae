"""What a suite with `keep: best` leaves to use: the delta of each setting's winner, `deltas/CELL` of the results.

Every cell of the first seed writes its delta; those of tuned values that did not win go as soon as the winner is known.
"""

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lm_lab.atomic import replace_file, replacing
from lm_lab.benchmark.plan import PlannedCell
from lm_lab.data.modules.base import TaskData
from lm_lab.models import AdaptedModel, delta
from lm_lab.models.binding import restore
from lm_lab.results.records import CellRecord
from lm_lab.results.selection import candidates, choose
from lm_lab.tasks import Task

FOLDER, INDEX = "deltas", "index.json"
Records = Mapping[str, CellRecord]


def save(model: AdaptedModel, task: Task, data: TaskData, folder: Path) -> None:
    """Write the delta of a cell that was judged; `task` is calibrated."""
    model.task = task
    model.finish()
    restore(model, data.description())
    shutil.rmtree(folder, ignore_errors=True)
    with replacing(folder) as new:
        delta.save(model, new)


def trim(root: Path, cells: Sequence[PlannedCell], records: Records) -> None:
    """Remove the deltas of what did not win, and write down what those that stay are of."""
    kept = []
    for group in _decided(cells, records):
        won = {record["id"] for record in _winners(group)}
        for record in group:
            folder = root / FOLDER / record["id"]
            if record["id"] not in won:
                shutil.rmtree(folder, ignore_errors=True)
            elif folder.is_dir():
                kept.append({"delta": record["id"], **record["cell"], "score": record["score"]})
    replace_file(root / FOLDER / INDEX, (json.dumps(kept, indent=1) + "\n").encode())


def lost(root: Path, cells: Sequence[PlannedCell], records: Records, seed: int) -> set[str]:
    """Winners of this seed that are done and have no delta, as of a suite that kept none: they run again."""
    won = (record for group in _decided(cells, records) for record in _winners(group))
    return {r["id"] for r in won if r["cell"]["seed"] == seed and not (root / FOLDER / r["id"]).is_dir()}


def _decided(cells: Sequence[PlannedCell], records: Records) -> Iterator[list[CellRecord]]:
    """The records of each setting with a size, all of whose cells have one."""
    groups: dict[str, list[PlannedCell]] = defaultdict(list)
    for planned in cells:
        groups[json.dumps(planned.cell["coordinates"], sort_keys=True)].append(planned)
    for group in groups.values():
        if all(planned.id in records for planned in group):
            yield [records[planned.id] for planned in group]


def _winners(group: Sequence[CellRecord]) -> list[CellRecord]:
    """Those that are done with the tuned values that won."""
    whole = [record for record in group if "race" not in record["cell"]]
    won = choose(candidates(whole)) if whole else None
    return [r for r in whole if won is not None and r["status"] == "done" and r["cell"]["tuned"] == won.tuned]

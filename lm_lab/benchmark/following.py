"""A cell's curve while it trains, alone or packed: a file of lines that the suite's process reads, on the same disk.

The first line is the record as it stands; the others are rows of its history, each with the time of day. Nothing of a
tracker is imported here: the memory of this process is measured.
"""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L

from lm_lab.benchmark.jobs import Job, record
from lm_lab.results.records import CellRecord


class Follow(L.Callback):
    """Write what is kept of a run's losses, as it comes.

    Args:
        path: of the file. Where its folder is not there, as on another machine, or the disk takes no files, this costs
            the curve and nothing else.
        known: the record of the cell.
        history: rows, to which others add.
    """

    def __init__(self, path: Path, known: CellRecord, history: Sequence[Mapping[str, float]]) -> None:
        self.path, self.history = path, history
        self._known: CellRecord | None = known
        self._written = 0

    def on_train_batch_end(self, *_: Any) -> None:
        """Append the rows that are new."""
        rows = self.history[self._written :]
        if not rows:
            return
        lines = [*([self._known] if self._known else []), *({**row, "time": time.time()} for row in rows)]
        self._known, self._written = None, len(self.history)
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write("".join(json.dumps(line) + "\n" for line in lines))
        except OSError:
            self._written = 2**62


def follows(job: Job, histories: Sequence[Sequence[Mapping[str, float]]]) -> list[L.Callback]:
    """One for each cell of a job, with its history; none where nobody follows."""
    if job.live is None:
        return []
    return [
        Follow(job.live / f"{planned.id}.jsonl", record(job, planned, "failed"), history)
        for planned, history in zip(job.cells, histories, strict=True)
    ]

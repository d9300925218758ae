"""A cell's curve while it trains: a file of lines that the suite's own process reads, where it sees the same disk.

The first line is the record as it stands; the others are rows of its history, each with the time of day. Nothing of a
tracker is imported here: the memory of this process is measured.
"""

import json
import time
from pathlib import Path
from typing import Any

import lightning as L

from lm_lab.results.records import CellRecord
from lm_lab.training.callbacks.meter import TrainingMeter


class Follow(L.Callback):
    """Write what the meter keeps, as it comes.

    Args:
        path: of the file. Where its folder is not there, as on another machine, or the disk takes no files, this costs
            the curve and nothing else.
        known: the record of the cell.
        meter: called before this one.
    """

    def __init__(self, path: Path, known: CellRecord, meter: TrainingMeter) -> None:
        self.path, self.meter = path, meter
        self._known: CellRecord | None = known
        self._written = 0

    def on_train_batch_end(self, *_: Any) -> None:
        """Append the rows that are new."""
        rows = self.meter.history[self._written :]
        if not rows:
            return
        lines = [*([self._known] if self._known else []), *({**row, "time": time.time()} for row in rows)]
        self._known, self._written = None, len(self.meter.history)
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write("".join(json.dumps(line) + "\n" for line in lines))
        except OSError:
            self._written = 2**62

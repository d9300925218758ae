"""Runs of cells that are logged while they train: this process follows the files that `benchmark/following.py` writes.

A cell that trains on a disk that is seen from here is live: its run starts with it. One that fitted features, failed
before its first step, or ran elsewhere is logged when it has ended, as `log_cell` does.
"""

import json
import threading
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from lm_lab.atomic import writable
from lm_lab.results.records import CellRecord
from lm_lab.tracking.session import chosen_mode, directories, guarded
from lm_lab.tracking.suites import begin, end, log_cell, predicted

if TYPE_CHECKING:
    import wandb

PULSE = 1.0  # seconds between two looks


class Live:
    """Opens, feeds and closes the runs of a suite; called with each record, as a suite's tracker.

    Args:
        root: the results.
        folder: where the files are.
        project: W&B project.
        mode: as of `log_cell`.
        system_metrics: log processor, memory and GPU of this machine beside each live run.
        predictions: how many of each split are logged of a cell, as a table.

    Attributes:
        follows: whether anything is logged.
    """

    def __init__(
        self,
        root: Path,
        folder: Path,
        project: str,
        mode: str | None = None,
        system_metrics: bool = False,
        predictions: int = 0,
    ) -> None:
        self.root, self.folder, self.project, self.mode = root, folder, project, mode
        self.system_metrics, self.predictions = system_metrics, predictions
        self.follows = chosen_mode(mode) != "disabled"
        self._runs: dict[str, wandb.Run] = {}
        self._read: dict[str, int] = {}  # lines of each file
        self._last: dict[str, int] = {}  # step of the last row that was logged
        self._over: set[str] = set()
        self._lock, self._stop, self._stack = threading.Lock(), threading.Event(), ExitStack()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        for left in self.folder.glob("*.jsonl"):  # of a suite that was interrupted: not followed
            self._read[left.stem] = len(left.read_text(encoding="utf-8").splitlines())
        if self.follows:
            with writable(self.root):  # here, not in a thread: it sets the environment
                self._stack.enter_context(directories(self.root / "wandb"))
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        for run in self._runs.values():  # interrupted: it runs again
            guarded(partial(run.finish, exit_code=1))
        self._stack.close()
        with suppress(OSError):  # something is left in it, or it was not needed
            self.folder.rmdir()

    def __call__(self, record: CellRecord) -> None:
        """Log the end of a cell."""
        key = record["id"]
        with self._lock:
            self._over.add(key)
            run = self._runs.pop(key, None)
            (self.folder / f"{key}.jsonl").unlink(missing_ok=True)
            if run is None:
                log_cell(record, self.root, self.project, self.mode, self.predictions)
            else:
                guarded(lambda: self._end(run, record))

    def _end(self, run: "wandb.Run", record: CellRecord) -> None:
        shown = predicted(record, self.root, self.predictions)
        end(run, record, self._last.get(record["id"], 0), shown, self.predictions)

    def look(self) -> None:
        """Log what is new in every file."""
        for path in sorted(self.folder.glob("*.jsonl")):
            with self._lock:
                if path.stem not in self._over and path.exists() and not guarded(partial(self._feed, path)):
                    self._over.add(path.stem)

    def _watch(self) -> None:
        while not self._stop.wait(PULSE):
            self.look()

    def _feed(self, path: Path) -> None:
        key, text = path.stem, path.read_text(encoding="utf-8")
        lines = text[: text.rfind("\n") + 1].splitlines()
        new: list[dict[str, Any]] = [json.loads(line) for line in lines[self._read.get(key, 0) :]]
        self._read[key] = len(lines)
        for line in new:
            if "cell" in line:  # the first one, or the cell was started again
                self._begin(key, line)  # type: ignore[arg-type]
            else:
                self._log(key, line)

    def _begin(self, key: str, known: CellRecord) -> None:
        if (old := self._runs.pop(key, None)) is not None:
            old.finish(exit_code=1)
        self._last.pop(key, None)
        self._runs[key] = begin(known, self.root, self.project, self.mode, self.system_metrics)

    def _log(self, key: str, row: dict[str, Any]) -> None:
        self._last[key] = int(row["step"])
        values = {f"train/{name}": value for name, value in row.items() if name not in ("step", "time")}
        self._runs[key].log(values | {"_timestamp": row["time"]}, step=int(row["step"]))

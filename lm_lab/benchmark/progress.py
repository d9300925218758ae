"""A suite's progress with an estimate of the time left: a live bar, or plain lines where there is no terminal."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from lm_lab.results.coordinates import coordinates, shown
from lm_lab.results.records import CellRecord
from lm_lab.training.callbacks.progress import duration


class Progress:
    """Counts finished cells and estimates the time left from those of this run."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self._bar: Bar | None = None
        self._task = TaskID(0)
        self._done = self._total = self._here = 0
        self._began = 0.0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def start(self, total: int, done: int, workers: int) -> None:
        """Show the size of the suite and what is already there."""
        self._total, self._done, self._began = total, done, time.monotonic()
        again = f", {done} of them done before" if done else ""
        self.console.print(f"{total} cells{again}; {workers} at a time", highlight=False)
        if self.console.is_terminal:
            columns = (SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
            self._bar = Bar(*columns, console=self.console)
            self._task = self._bar.add_task("starting workers", total=total, completed=done)
            self._bar.start()

    def resize(self, total: int) -> None:
        """Take another size of the suite."""
        self._total = total
        if self._bar:
            self._bar.update(self._task, total=total)

    def advance(self, record: CellRecord) -> None:
        """Show a finished cell."""
        self._done += 1
        self._here += 1
        line = f"[{self._done}/{self._total}] {describe(record)}"
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)
        if self._bar:
            self._bar.update(self._task, completed=self._done, description=f"about {self.left()} left")
        elif self._here % 10 == 0 and self._done < self._total:
            self.console.print(f"about {self.left()} left", highlight=False)

    def left(self) -> str:
        """Estimate of the time left, from the mean pace of this run."""
        pace = (time.monotonic() - self._began) / max(1, self._here)
        return duration(pace * max(0, self._total - self._done))


def describe(record: CellRecord) -> str:
    """A cell and what became of it, in one line."""
    cell = record["cell"]
    tuned = [f"{name.split('.')[-1]} {shown(value)}" for name, value in cell["tuned"].items()]
    race = [f"race of {cell['race']:.0%}"] if "race" in cell else []
    name = ", ".join([*coordinates(cell).words, *tuned, f"seed {cell['seed']}", *race])
    if record["status"] != "done":
        return f"{name}: {record['status']}: {record['reason']}"
    score = record["score"]["selection" if race else "validation"]
    return f"{name}: {score:.3f} in {duration(record['clocks']['total_seconds'])}"

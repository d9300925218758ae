"""A warm process that runs cells, and the process's end of the line to it."""

import multiprocessing
import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from lm_lab.benchmark.plan import PlannedCell

DIED = "its worker process died twice (killed, or out of memory)"
PULSE = 1.0  # seconds between two looks at the clock


@dataclass(frozen=True)
class Job:
    """What a worker needs to run cells: the suite's name, the results' folder, the command to record."""

    suite: str
    root: Path
    command: str


class Worker:
    """A warm process, and the cell that it runs."""

    def __init__(self, job: Job, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, job, threads, os.getpid()))
        self.process.start()
        theirs.close()
        self.planned: PlannedCell | None = None
        self._clock = _Clock()

    def start(self, planned: PlannedCell) -> None:
        """Run a cell."""
        self.planned, self._clock = planned, _Clock()
        with suppress(OSError):  # it is dead, which `result` tells
            self.connection.send(planned)

    def seconds(self) -> float:
        """How long the cell has run."""
        return self._clock.read()

    def result(self) -> str | None:
        """Why the cell that ended failed without a record; None where there is one."""
        try:
            reason: str | None = self.connection.recv()
        except (EOFError, OSError):
            return DIED
        return reason

    def kill(self) -> None:
        """End the process, even a stopped one."""
        self.process.kill()
        self.process.join()
        self.connection.close()


class _Clock:
    """Seconds while this process watches: a suspended one, or one with a debugger, does not use up its cells' time."""

    def __init__(self) -> None:
        self._seconds, self._last = 0.0, time.monotonic()

    def read(self) -> float:
        """Seconds, of which no gap between two readings counts for more than a few."""
        now = time.monotonic()
        self._seconds, self._last = self._seconds + min(now - self._last, 5 * PULSE), now
        return self._seconds


def _serve(connection: Connection, job: Job, threads: int, parent: int) -> None:
    """Run the cells that come, one after the other, and send why each failed if it has no record."""
    _warm(threads, parent)
    while True:
        try:
            planned = connection.recv()
        except EOFError:
            return
        try:
            work(planned, job)
        except Exception as error:
            connection.send(f"{type(error).__name__}: {error}")
        else:
            connection.send(None)


def _warm(threads: int, parent: int) -> None:
    """Prepare a worker: interrupts are the parent's to handle, and no worker outlives it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ[name] = str(threads)
    import logging

    import torch

    import lm_lab.benchmark.execute  # noqa: F401  the imports that make a worker warm

    torch.set_num_threads(threads)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def work(planned: PlannedCell, job: Job) -> None:
    """Run a cell, in silence."""
    import contextlib
    import io

    from lm_lab.benchmark.execute import run_cell

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        run_cell(planned, job.suite, job.root, job.command)

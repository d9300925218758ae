"""What executes cells: one small interface, and warm local processes behind it.

A cluster's engine (Ray, submitit, dask) fits behind `Executor`: cells need nothing but `execute.run_cell`.
"""

import multiprocessing
import os
import signal
import threading
import time
from abc import ABC, abstractmethod
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from lm_lab.benchmark.plan import PlannedCell

_DIED = "its worker process died twice (killed, or out of memory)"


@dataclass(frozen=True)
class Job:
    """What a worker needs to run cells: the suite's name, the results' folder, the command to record."""

    suite: str
    root: Path
    command: str


class Executor(ABC):
    """Runs cells somewhere. A cell's record file, not a return value, is what counts as its result."""

    capacity: int

    @abstractmethod
    def submit(self, planned: PlannedCell) -> None:
        """Start or queue a cell."""

    @abstractmethod
    def wait(self) -> list[tuple[PlannedCell, str | None]]:
        """Block until a cell ends; the cells that ended, each with a reason if its worker died without a record."""

    @abstractmethod
    def stop(self) -> None:
        """End all work at once."""


class LocalProcesses(Executor):
    """Worker processes on this machine that stay warm: imports take seconds, and are paid once a worker.

    Args:
        job: what the workers run.
        workers: processes.
        threads: threads of torch in each.
    """

    def __init__(self, job: Job, workers: int, threads: int) -> None:
        self.job, self.capacity, self.threads = job, workers, threads
        self._running: dict[Future[None], PlannedCell] = {}
        self._retried: set[str] = set()
        self._pool = self._start()

    def submit(self, planned: PlannedCell) -> None:
        """Queue a cell."""
        try:
            future = self._pool.submit(_work, planned, self.job)
        except BrokenProcessPool:
            self._pool = self._start()
            future = self._pool.submit(_work, planned, self.job)
        self._running[future] = planned

    def wait(self) -> list[tuple[PlannedCell, str | None]]:
        """Cells that ended. A killed worker takes the pool and its other cells down: each gets a second try."""
        while True:
            done, _ = wait(self._running, return_when=FIRST_COMPLETED)
            ended = [(self._running.pop(future), _death(future)) for future in done]
            again = [planned for planned, reason in ended if reason == _DIED and planned.id not in self._retried]
            for planned in again:
                self._retried.add(planned.id)
                self.submit(planned)
            if final := [pair for pair in ended if pair[0] not in again]:
                return final

    def stop(self) -> None:
        """Kill the workers."""
        for process in list((self._pool._processes or {}).values()):
            process.kill()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.capacity, context, initializer=_warm, initargs=(self.threads, os.getpid()))


class InProcess(Executor):
    """One cell after the other in this process: for debuggers, and where a process may not start others."""

    capacity = 1

    def __init__(self, job: Job) -> None:
        self.job = job
        self._queue: list[PlannedCell] = []

    def submit(self, planned: PlannedCell) -> None:
        """Queue a cell."""
        self._queue.append(planned)

    def wait(self) -> list[tuple[PlannedCell, str | None]]:
        """Run the first cell of the queue."""
        planned = self._queue.pop(0)
        _work(planned, self.job)
        return [(planned, None)]

    def stop(self) -> None:
        """Nothing runs outside of `wait`."""


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


def _work(planned: PlannedCell, job: Job) -> None:
    import contextlib
    import io

    from lm_lab.benchmark.execute import run_cell

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        run_cell(planned, job.suite, job.root, job.command)


def _death(future: "Future[None]") -> str | None:
    error = future.exception()
    if isinstance(error, BrokenProcessPool):
        return _DIED
    return None if error is None else f"{type(error).__name__}: {error}"

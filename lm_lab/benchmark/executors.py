"""What executes cells: one small interface, and warm local processes behind it.

A cluster's engine (Ray, submitit, dask) fits behind `Executor`: cells need nothing but `execute.run_cell`.
"""

from abc import ABC, abstractmethod
from collections import deque
from multiprocessing.connection import wait

from lm_lab.benchmark.plan import PlannedCell
from lm_lab.benchmark.workers import DIED, PULSE, Job, Worker, work

CELL_TIMEOUT = 24 * 3600.0


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

    A cell whose worker dies gets a second try. One that runs longer than `limit` is ended with its worker, which may
    hang or be stopped. Other cells do not notice.

    Args:
        job: what the workers run.
        workers: processes.
        threads: threads of torch in each.
        limit: seconds that a cell may take.
    """

    def __init__(self, job: Job, workers: int, threads: int, limit: float = CELL_TIMEOUT) -> None:
        self.job, self.capacity, self.threads, self.limit = job, workers, threads, limit
        self._queue: deque[PlannedCell] = deque()
        self._workers: list[Worker] = []
        self._retried: set[str] = set()

    def submit(self, planned: PlannedCell) -> None:
        """Queue a cell."""
        self._queue.append(planned)

    def wait(self) -> list[tuple[PlannedCell, str | None]]:
        """Cells that ended, once there is one."""
        while True:
            self._assign()
            busy = [worker for worker in self._workers if worker.planned]
            ready = wait([worker.connection for worker in busy], PULSE)
            ended = [pair for worker in busy if (pair := self._ended(worker, worker.connection in ready))]
            if ended:
                return ended

    def stop(self) -> None:
        """Kill the workers."""
        for worker in self._workers:
            worker.kill()
        self._workers.clear()

    def _assign(self) -> None:
        """Give the first cells of the queue to idle workers, new ones where there is room."""
        while self._queue:
            idle = next((worker for worker in self._workers if not worker.planned), None)
            if idle is None and len(self._workers) == self.capacity:
                return
            if idle is None:
                idle = Worker(self.job, self.threads)
                self._workers.append(idle)
            idle.start(self._queue.popleft())

    def _ended(self, worker: Worker, ready: bool) -> tuple[PlannedCell, str | None] | None:
        """The cell of a worker and why it failed, if it ended; it is queued again if its worker died the first time."""
        planned = worker.planned
        assert planned
        if not ready:
            if worker.seconds() < self.limit:
                return None
            reason: str | None = f"it ran longer than the limit of {self.limit:g} s (--cell-timeout), and was ended"
            worker.kill()
        else:
            reason = worker.result()
        worker.planned = None
        if reason == DIED or not ready:
            worker.kill()
            self._workers.remove(worker)
        if reason == DIED and planned.id not in self._retried:
            self._retried.add(planned.id)
            self._queue.appendleft(planned)
            return None
        return planned, reason


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
        work(planned, self.job)
        return [(planned, None)]

    def stop(self) -> None:
        """Nothing runs outside of `wait`."""

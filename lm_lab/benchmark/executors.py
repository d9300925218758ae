"""What executes jobs: one small interface, and warm local processes behind it.

A cluster's engine (Ray, submitit, dask) fits behind `Executor`: `execute.run(job)` needs no disk that the runner sees,
and what it returns is all that a job leaves.
"""

from abc import ABC, abstractmethod
from collections import deque
from multiprocessing.connection import wait

from lm_lab.benchmark.jobs import Job, Result, failed
from lm_lab.benchmark.workers import DIED, PULSE, Worker, work


class Executor(ABC):
    """Runs jobs somewhere. It writes nothing: results go to the runner, which keeps them.

    Attributes:
        capacity: how many jobs run at once.
    """

    capacity: int

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Start or queue a job."""

    @abstractmethod
    def wait(self) -> list[Result]:
        """Block until a job ends; a record for each cell of those that did, whatever became of it."""

    @abstractmethod
    def stop(self) -> None:
        """End all work at once."""


class LocalProcesses(Executor):
    """Worker processes on this machine that stay warm: imports take seconds, and are paid once a worker.

    A job whose worker dies gets a second try. One that runs longer than it may is ended with its worker, which may hang
    or be stopped, and its cells are recorded as failed. Other jobs do not notice.

    Args:
        workers: processes.
    """

    def __init__(self, workers: int) -> None:
        self.capacity = workers
        self._queue: deque[Job] = deque()
        self._workers: list[Worker] = []
        self._retried: set[frozenset[str]] = set()

    def submit(self, job: Job) -> None:
        """Queue a job."""
        self._queue.append(job)

    def wait(self) -> list[Result]:
        """Results of the jobs that ended, once there is one."""
        while True:
            self._assign()
            busy = [worker for worker in self._workers if worker.job]
            ready = wait([worker.connection for worker in busy], PULSE)
            if ended := [result for worker in busy for result in self._ended(worker, worker.connection in ready)]:
                return ended

    def stop(self) -> None:
        """Kill the workers."""
        for worker in self._workers:
            worker.kill()
        self._workers.clear()

    def _assign(self) -> None:
        """Give the first jobs of the queue to idle workers, new ones where there is room."""
        while self._queue:
            idle = next((worker for worker in self._workers if not worker.job), None)
            if idle is None and len(self._workers) == self.capacity:
                return
            job = self._queue.popleft()
            if idle is None:
                idle = Worker(job.needs.threads)
                self._workers.append(idle)
            idle.start(job)

    def _ended(self, worker: Worker, ready: bool) -> list[Result]:
        """The results of a worker's job, if it ended; it is queued again if its worker died the first time."""
        job = worker.job
        assert job
        if not ready:
            if worker.seconds() < job.seconds:
                return []
            self._dismiss(worker)
            each = " a cell" if len(job.cells) > 1 else ""
            limit = f"the limit of {job.needs.seconds:g} s{each} (--cell-timeout)"
            return failed(job, f"it ran longer than {limit}, and was ended")
        results = worker.results()
        worker.job = None
        if results is not None:
            return results
        self._dismiss(worker)
        if job.ids in self._retried:
            return failed(job, DIED)
        self._retried.add(job.ids)
        self._queue.appendleft(job)
        return []

    def _dismiss(self, worker: Worker) -> None:
        worker.kill()
        self._workers.remove(worker)


class InProcess(Executor):
    """One job after the other in this process: for debuggers, and where a process may not start others."""

    capacity = 1

    def __init__(self) -> None:
        self._queue: list[Job] = []

    def submit(self, job: Job) -> None:
        """Queue a job."""
        self._queue.append(job)

    def wait(self) -> list[Result]:
        """Run the first job of the queue."""
        return work(self._queue.pop(0))

    def stop(self) -> None:
        """Nothing runs outside of `wait`."""

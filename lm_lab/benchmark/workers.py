"""A warm process that runs jobs, and this end of the line to it."""

import multiprocessing
import os
import signal
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection

from lm_lab.benchmark.jobs import Job, Result, failed

DIED = "its worker process died twice (killed, or out of memory)"
PULSE = 1.0  # seconds between two looks at the clock


class Worker:
    """A warm process, and the job that it runs."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, threads, os.getpid()))
        self.process.start()
        theirs.close()
        self.job: Job | None = None
        self._clock = _Clock()

    def start(self, job: Job) -> None:
        """Run a job."""
        self.job, self._clock = job, _Clock()
        with suppress(OSError):  # it is dead, which `results` tells
            self.connection.send(job)

    def seconds(self) -> float:
        """How long the job has run."""
        return self._clock.read()

    def results(self) -> list[Result] | None:
        """What the job that ended brought; None if the process died of it."""
        try:
            found: list[Result] = self.connection.recv()
        except (EOFError, OSError):
            return None
        return found

    def kill(self) -> None:
        """End the process, even a stopped one."""
        self.process.kill()
        self.process.join()
        self.connection.close()


class _Clock:
    """Seconds while this process watches: a suspended one, or one with a debugger, does not use up its jobs' time."""

    def __init__(self) -> None:
        self._seconds, self._last = 0.0, time.monotonic()

    def read(self) -> float:
        """Seconds, of which no gap between two readings counts for more than a few."""
        now = time.monotonic()
        self._seconds, self._last = self._seconds + min(now - self._last, 5 * PULSE), now
        return self._seconds


def _serve(connection: Connection, threads: int, parent: int) -> None:
    """Run the jobs that come, one after the other, and send what each brought."""
    _warm(threads, parent)
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        try:
            results = work(job)
        except Exception as error:
            results = failed(job, f"{type(error).__name__}: {error}")
        connection.send(results)


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


def work(job: Job) -> list[Result]:
    """Run a job, in silence."""
    import contextlib
    import io

    from lm_lab.benchmark.execute import run

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return run(job)

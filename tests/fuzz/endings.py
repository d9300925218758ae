"""How a command may end: with 0, or with 2 and one line; and soon."""

import signal
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from lm_lab.cli import main

LONGEST = 40  # seconds; what is tried takes half of one on a quiet core


class Hangs(BaseException):
    """A command takes too long; no `except Exception` may swallow it."""


def ends(words: Sequence[str], capfd: pytest.CaptureFixture[str], codes: Collection[int] = (0, 2)) -> int:
    """Run a command; its code, which is one of `codes`, and 2 if and only if there is one line of error."""
    capfd.readouterr()
    with at_most(LONGEST):
        try:
            code = main(words)
        except SystemExit as stopped:
            code = stopped.code or 0  # type: ignore[assignment]
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error:")]
    assert code in codes, (code, said)
    assert len(said) == (code == 2), (code, said)
    return code


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raise `Hangs` in what takes longer."""

    def stop(*_: Any) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)

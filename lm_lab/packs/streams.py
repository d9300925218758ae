"""Each run of a pack draws from numbers of its own, so that what it becomes depends on no other."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

State = tuple[Tensor, Tensor | None]


class Stream:
    """Where the random numbers of one run stand; at first where the process's own stand now."""

    def __init__(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.init()  # seeds that were given before are then its own
        self.state = _read()

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """Draw from this stream; the process's own numbers stay where they were."""
        before = _read()
        _write(self.state)
        try:
            yield
        finally:
            self.state = _read()
            _write(before)


@contextmanager
def kept() -> Iterator[None]:
    """Leave the process's random numbers where they are, whatever is drawn."""
    with Stream().drawn():
        yield


def _read() -> State:
    return torch.get_rng_state(), torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None


def _write(state: State) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1])

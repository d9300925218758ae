"""What time is told by: the processor's on a CPU, where a neighbour would stretch the wall's; the wall's on a GPU."""

import resource
import time

import torch
from transformers import TrainerCallback


def now() -> float:
    """Seconds of this process and of those that it has waited for, or of the wall."""
    if torch.cuda.is_available():
        return time.perf_counter()
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


class Clock(TrainerCallback):
    """Wall time of the Trainer's training."""

    def on_train_begin(self, *_: object, **__: object) -> None:
        """Start."""
        self.started = time.perf_counter()

    def on_train_end(self, *_: object, **__: object) -> None:
        """Stop."""
        self.seconds = time.perf_counter() - self.started

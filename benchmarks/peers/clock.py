"""How long the `transformers` Trainer trains."""

import time
from typing import Any

from transformers import TrainerCallback


class Clock(TrainerCallback):
    """Wall time of the Trainer's training."""

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start."""
        self.started = time.perf_counter()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Stop."""
        self.seconds = time.perf_counter() - self.started

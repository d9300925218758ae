"""What both sides of `compare.py` do alike: the methods, their rates, the data, and how much of each part is run."""

from dataclasses import dataclass, replace
from typing import Any

KINDS: dict[str, tuple[str, dict[str, Any]]] = {  # method -> lm_lab's class and its settings; the Trainer's: theirs.py
    "full": ("FullFineTuning", {}),
    "lora": ("LoRA", {"rank": 8}),
    "adapter": ("HoulsbyAdapter", {"size": 32}),
    "bitfit": ("BitFit", {}),
    "prefix": ("PTuningV2", {"length": 16}),
    "frozen": ("LinearProbe", {}),
}
RATES = {"full": 1e-4, "lora": 3e-3, "adapter": 3e-3, "bitfit": 3e-3, "prefix": 1e-2, "frozen": 1e-2}
GRID = {  # method -> rates of the grid
    "lora": [3e-4, 1e-3, 3e-3, 1e-2],
    "adapter": [3e-4, 1e-3, 3e-3, 1e-2],
    "bitfit": [3e-4, 1e-3, 3e-3, 1e-2],
}


@dataclass(frozen=True)
class Settings:
    """One comparison; the same for both sides.

    Args:
        source: name or folder of the weights.
        data: source of the task's rows; None: where `LM_LAB_DATA` has them.
        accelerator: `cpu` or `gpu`.
        examples, grid_examples: rows of train that a run, and a cell of the grid, sees once.
        evaluated: rows of validation.
        rounds, round_steps: of the timed steps; the first two of a round are not counted. As many are as an epoch has:
            a batch of short texts takes a tenth of what one of long texts does.
        seeds: of the whole runs.
        grid_seeds: of the grid.
        grid_batch, grid_holdout: rows of a step of the grid, and of those held out of train, which choose.
        grid_race: share of training after which a second grid of ours gives up rates that are clearly behind.
        kinds: the methods that are compared.
        batch: rows of a step.
        threads: of torch on either side.
    """

    source: str = "sentence-transformers/paraphrase-MiniLM-L3-v2"
    data: str | None = None
    accelerator: str = "cpu"
    examples: int = 480
    grid_examples: int = 640
    evaluated: int = 436
    rounds: int = 3
    round_steps: int = 17
    seeds: int = 3
    grid_seeds: int = 4
    grid_batch: int = 16
    grid_holdout: int = 200
    grid_race: float = 0.25
    kinds: tuple[str, ...] = tuple(KINDS)
    batch: int = 32
    threads: int = 1
    task: str = "sst2"
    max_length: int = 128

    def longer(self) -> "Settings":
        """More of everything, where a step is short: on a GPU."""
        rows = replace(self, examples=3200, grid_examples=960, grid_batch=32, evaluated=872)
        return replace(rows, rounds=5, round_steps=30)

    def tiny(self) -> "Settings":
        """Everything once, in seconds: a test that the script runs."""
        small = {"examples": 64, "grid_examples": 32, "evaluated": 50, "rounds": 1, "round_steps": 4, "seeds": 1}
        return replace(self, **small, grid_seeds=1, grid_holdout=20, batch=16)  # type: ignore[arg-type]

    def rows(self, examples: int) -> dict[str, Any]:
        """Settings of lm_lab's data module, whose rows both sides train on."""
        limits = {"train_limit": examples, "validation_limit": self.evaluated, "holdout": 0, "source": self.data}
        return {"task": self.task, "batch_size": self.batch, "max_length": self.max_length, **limits}

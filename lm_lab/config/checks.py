"""What a command line is refused for before anything is built."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from lm_lab.errors import UsageError
from lm_lab.yaml_files import read_yaml

_SEEDS = 2**32
_LONGEST = 4000  # of a path; a configuration may be given as text
_CONFIG = ("--config", "-c")
TRUST = "trust_remote_code"


def require_seed(seed: Any) -> None:
    """Raise `UsageError` for a seed that numpy does not take."""
    if isinstance(seed, int) and not isinstance(seed, bool) and not 0 <= seed < _SEEDS:
        raise UsageError(f"--seed_everything {seed}: expected a whole number from 0 to {_SEEDS - 1}.")


def require_own_words(model: Any, given: Sequence[str]) -> None:
    """Raise `UsageError` if a file allows a model's own code to run: only the command line may."""
    backbone = getattr(model, "backbone", None)
    allowed = getattr(getattr(backbone, "init_args", backbone), TRUST, None)
    if allowed and not any(TRUST in word for word in given):
        raise UsageError(
            f"a configuration sets {TRUST}, which runs code that comes with the weights: read that code, then say "
            f"--model.backbone.{TRUST} true on the command line."
        )


def require_device(trainer: Any) -> None:
    """Raise `UsageError` for an accelerator that this machine lacks, or fp16 where there is none."""
    accelerator, precision = str(trainer.accelerator), str(trainer.precision)
    found = torch.accelerator.is_available()
    if accelerator in {"gpu", "cuda", "mps", "xpu"} and not found:
        raise UsageError(f"--trainer.accelerator {accelerator}: this machine has none; use cpu or auto.")
    if precision.startswith("16") and (accelerator == "cpu" or not found):
        raise UsageError(f"--trainer.precision {precision}: fp16 needs a GPU; on a CPU use bf16-mixed or 32-true.")


def require_counts(trainer: Any) -> None:
    """Raise `UsageError` for a count that Lightning divides by."""
    for name, least in (("accumulate_grad_batches", 1), ("check_val_every_n_epoch", 1), ("log_every_n_steps", 0)):
        value = getattr(trainer, name)
        if value is not None and value < least:
            raise UsageError(f"--trainer.{name} {value}: expected a whole number from {least}.")


def require_small_files(args: Sequence[str]) -> None:
    """Raise `UsageError` for a configuration file that is no YAML, or whose aliases stand for too much to read."""
    for word, following in zip(args, [*args, ""][1:], strict=True):
        name, _, value = word.partition("=")
        path = Path(value or following)
        if name in _CONFIG and len(str(path)) < _LONGEST and path.is_file():
            read_yaml(path, "configuration")

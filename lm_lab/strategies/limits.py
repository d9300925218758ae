"""Settings that are out of range are refused where they are given, by name."""

import math

from lm_lab.errors import UsageError

WIDEST = 65_536  # of a hidden layer, a prompt, a prefix; a rank


def between(low: float, high: float, **settings: float) -> None:
    """Raise `UsageError` for a setting that is not from `low` to `high`, or no number."""
    for name, value in settings.items():
        if not low <= value <= high:
            raise UsageError(f"{name}={value}: expected {low:g} to {high:g}.")


def finite(**settings: float) -> None:
    """Raise `UsageError` for a setting that is infinite or no number."""
    for name, value in settings.items():
        if not math.isfinite(value):
            raise UsageError(f"{name}={value}: expected a finite number.")


def dropout(value: float) -> None:
    """Raise `UsageError` for a share that leaves nothing, or is none."""
    if not 0 <= value < 1:
        raise UsageError(f"dropout={value}: expected a share from 0, below 1.")

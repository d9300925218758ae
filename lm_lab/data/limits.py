"""Settings that are numbers: what is out of range is refused by name before anything is read."""

import math

from lm_lab.errors import UsageError


def at_least(low: int, **settings: float | None) -> None:
    """Raise `UsageError` if a setting is below `low`; None is no limit."""
    for name, value in settings.items():
        if value is not None and value < low:
            raise UsageError(f"{name}={value}: expected {low} or more.")


def held_out(holdout: float, rows: int, origin: str) -> int:
    """Rows taken out: a number of them, or a share below 1. Raises `UsageError` if none is left, or none taken."""
    taken = round(holdout * rows) if 0 < holdout < 1 else int(holdout)
    if holdout != int(holdout) and holdout > 1:
        raise UsageError(f"holdout={holdout}: expected a whole number of examples, or a share of them below 1.")
    if not taken < rows or (holdout and not taken):
        raise UsageError(f"holdout={holdout} leaves nothing of the {rows} rows in {origin} to train on, or takes none.")
    return taken


def finite(**settings: float) -> None:
    """Raise `UsageError` if a setting is infinite or no number."""
    for name, value in settings.items():
        if not math.isfinite(value):
            raise UsageError(f"{name}={value}: expected a finite number.")

"""Settings that are numbers: what is out of range is refused by name before anything is read."""

import math

from lm_lab.errors import UsageError


def at_least(low: int, **settings: int | None) -> None:
    """Raise `UsageError` if a setting is below `low`; None is no limit."""
    for name, value in settings.items():
        if value is not None and value < low:
            raise UsageError(f"{name}={value}: expected {low} or more.")


def finite(**settings: float) -> None:
    """Raise `UsageError` if a setting is infinite or no number."""
    for name, value in settings.items():
        if not math.isfinite(value):
            raise UsageError(f"{name}={value}: expected a finite number.")

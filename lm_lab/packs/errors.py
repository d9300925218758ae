"""What is said where runs cannot train together."""

from lm_lab.errors import UsageError


class ApartError(UsageError):
    """These runs cannot train in one pass, or gain nothing by it; each trains alone."""


class TooManyError(Exception):
    """A step of so many runs would take more memory than there is.

    Attributes:
        fit: how many would not; at least one.
    """

    def __init__(self, fit: int) -> None:
        super().__init__(f"memory for {fit} runs")
        self.fit = fit

"""What is said where runs cannot train together."""

from lm_lab.errors import UsageError


class ApartError(UsageError):
    """These runs cannot train in one pass, or gain nothing by it; each trains alone."""

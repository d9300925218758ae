"""The known name that is nearest to a mistyped one."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `name` is most likely meant to be, whatever its capitals; None if none is near."""
    by_lower = {each.lower(): each for each in known}
    found = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """ "; did you mean LoRA?", to be added to what is wrong with a name; "" if none is near."""
    found = nearest(name, known)
    return f"; did you mean {found}?" if found else ""

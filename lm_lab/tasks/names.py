"""Names of tasks and splits: they become names of files, so none of them leads elsewhere."""

import re

from lm_lab.errors import UsageError

_NAME = re.compile(r"\w[\w .+@-]*")
_LONGEST = 100


def require_name(name: str, what: str = "name") -> str:
    """The name itself. Raises `UsageError` unless it is of letters, digits, spaces and . + @ - _, the first no sign."""
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise UsageError(
            f"{what} {name!r:.120}: expected up to {_LONGEST} letters, digits, spaces and . + @ - _, a letter or digit "
            "first, since files are named after it."
        )
    return name


def file_name(name: str) -> str:
    """What files of a task are named after: its name, or the last part of OWNER/NAME. Raises as `require_name`."""
    *owners, last = name.split("/")
    for owner in owners:
        require_name(owner, f"in the name '{name}',")
    return require_name(last, "the task's name" if not owners else f"in the name '{name}',")


def require_split(split: str) -> str:
    """The split itself. Raises `UsageError` unless it is a name, or several with / between them."""
    for part in split.split("/"):
        require_name(part, "the split's name" if part == split else f"in the split's name '{split}',")
    return split

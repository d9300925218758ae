"""What a configuration may import: a file of a stranger can name any class, and naming it runs its module."""

from collections.abc import Sequence

import jsonargparse

from lm_lab.errors import UsageError

ALLOWED = (
    "lm_lab",
    "lightning",
    "pytorch_lightning",
    "torch.optim",
    "transformers.Adafactor",
    "transformers.optimization.Adafactor",
)
_FLAG = "--allow-import"


def allow_imports(args: Sequence[str]) -> list[str]:
    """Restrict what a configuration may import, to which `--allow-import MODULE` adds; returns the other arguments."""
    rest, extra = split_imports(args)
    restrict(extra)
    return rest


def split_imports(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """The other arguments, and the packages that `--allow-import` names."""
    rest, extra = [], []
    words = iter(args)
    for word in words:
        if word == _FLAG:
            extra.append(next(words, ""))
        elif word.startswith(_FLAG + "="):
            extra.append(word.split("=", 1)[1])
        else:
            rest.append(word)
    return rest, extra


def restrict(extra: Sequence[str] = ()) -> None:
    """Let configurations import nothing but `ALLOWED` and `extra`. Raises `UsageError` for what names no package."""
    for name in extra:
        if not all(part.isidentifier() for part in name.split(".")):
            raise UsageError(f"{_FLAG} {name!r:.120}: expected the dotted name of a package.")
    jsonargparse.set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=[*ALLOWED, *extra])

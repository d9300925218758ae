"""What no record, page, card or W&B run may hold of a command line: keys, passwords, and whose home it ran in."""

import re
from collections.abc import Sequence
from pathlib import Path

HIDDEN = "***"
_SECRET = re.compile(
    r"(?:^|[^a-z0-9])(?:(?:api|access|private|secret)[_-]?key(?:[_-]?id)?|token|secret|password|passwd|passphrase|auth"
    r"|authorization|bearer|credentials?|sig|signature)$",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(r"(?<![\w.-])([\w.-]+)([\"']?\s*[=:]\s*[\"']?)((?:(?:[Bb]earer|[Bb]asic) +)?[^\s\"',;&?{}]+)")
_CREDENTIALS = re.compile(r"(\b[a-z][a-z0-9+.-]{0,20}://)[^/\s@'\"]{1,200}@", re.IGNORECASE)
_SHAPES = re.compile(
    r"\b(?:hf_\w{16,}|sk-[\w-]{16,}|gh[opsu]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}"
    r"|AKIA[A-Z0-9]{16}|wandb_v\d_\w{16,}|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]+)?)"
)
_HOMES = re.compile(r"(?:/home|/Users|[A-Za-z]:\\Users)[/\\][^/\\\s'\":,]+")


def redacted(text: str) -> str:
    """`text` without values of what is called a key, a token or a password, and with `~` for home folders."""
    text = _ASSIGNED.sub(lambda found: found[1] + found[2] + (HIDDEN if _SECRET.search(found[1]) else found[3]), text)
    text = _SHAPES.sub(HIDDEN, _CREDENTIALS.sub(rf"\1{HIDDEN}@", text))
    home = str(Path.home())
    if len(home) > 1:
        text = re.sub(rf"(?<![\w/.]){re.escape(home)}(?![\w.-])", "~", text)
    return _HOMES.sub("~", text)


def redacted_words(words: Sequence[str]) -> list[str]:
    """The words of a command line, each redacted; one that follows `--...token` is its value."""
    found: list[str] = []
    hides = False
    for word in words:
        name, equals, _ = word.partition("=")
        if hides and not word.startswith("--"):
            found.append(HIDDEN)
        elif equals and _SECRET.search(name):
            found.append(f"{name}={HIDDEN}")
        else:
            found.append(redacted(word))
        hides = word.startswith("-") and bool(_SECRET.search(word))
    return found

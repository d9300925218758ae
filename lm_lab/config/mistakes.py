"""Which errors of libraries are mistakes that the user can mend, as one line each; anything else is a bug."""

import errno
import re
import traceback

from lm_lab.config.unknown_names import explained
from lm_lab.errors import UsageError
from lm_lab.renamed import hint

_DISK = {errno.ENOSPC, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EDQUOT, errno.EFBIG}
_DENIED = re.compile(r"denied by the .* entry of the import path denylist\..*")
# lines of jsonargparse that say how it tried, not what is wrong
_NOISE = re.compile(
    r"^(Does not validate|Subtypes:|Errors:|Given value type|Expected a <class 'NoneType'>|tip:|Import path)"
)


def mistake(error: BaseException | None) -> UsageError | None:
    """The mistake that an error is or comes from: jsonargparse raises its own from what a class of a union raised."""
    first = error
    while error is not None and not isinstance(error, UsageError):
        error = error.__cause__
    return error or (None if first is None else _of_library(first))


def raised_in(error: BaseException) -> str:
    """The module whose code raised an error."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return str(frames[-1][0].f_globals.get("__name__", "")) if frames else ""


def _of_library(error: BaseException) -> UsageError | None:
    name = type(error).__name__
    if name == "ArgumentError":
        return UsageError(_argument(str(getattr(error, "message", None) or error)))
    if name == "MisconfigurationException":
        return UsageError(str(error))
    refused = isinstance(error, ValueError | NotImplementedError)
    if refused and raised_in(error).startswith("lightning."):  # settings that do not go together
        return UsageError(str(error) or repr(error))
    if isinstance(error, OSError) and error.errno in _DISK:
        return UsageError(f"{error.filename or 'writing'}: {error.strerror}. What was finished before is kept.")
    if name == "SafetensorError" and "I/O error" in str(error):
        return UsageError(f"{error}. What was finished before is kept.")
    return None


def _argument(message: str) -> str:
    """What jsonargparse reports in one line: the option, and the innermost reasons."""
    message = _DENIED.sub("say --allow-import with its package, if you trust it", message)
    if (told := explained(message)) is not None:
        return f"{told}{hint(message)} (--help lists the options)"
    lines = [line.strip().removeprefix("- ") for line in message.splitlines()]
    kept = [line for line in lines if line and not _NOISE.match(line)]
    told = ": ".join(line.rstrip(":") for line in dict.fromkeys(kept)) + hint(message)
    return f"{told} (--help lists the options)"

"""The one exception that stands for a mistake the user can mend."""

_HEAD, _TAIL = 1500, 300  # characters that are kept of a message that lists a thousand columns


class UsageError(Exception):
    """A bad input: the message names the value, what was expected and how to fix it.

    The command line prints the message alone and exits with code 2; anything else is a bug and shows its
    traceback. It is one line, whatever the value holds.
    """

    def __init__(self, message: str = "") -> None:
        line = " ".join(message.splitlines())
        super().__init__(line if len(line) <= _HEAD + _TAIL else f"{line[:_HEAD]} ... {line[-_TAIL:]}")

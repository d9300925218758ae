"""The exceptions that end a command: a mistake that the user can mend, and a wish to stop."""

_HEAD, _TAIL = 1500, 300  # characters that are kept of a message that lists a thousand columns


class UsageError(Exception):
    """A bad input: the message names the value, what was expected and how to fix it.

    The command line prints the message alone and exits with code 2; anything else is a bug and shows its
    traceback. It is one line, whatever the value holds.
    """

    def __init__(self, message: str = "") -> None:
        line = " ".join(message.splitlines())
        super().__init__(line if len(line) <= _HEAD + _TAIL else f"{line[:_HEAD]} ... {line[-_TAIL:]}")


class Terminated(KeyboardInterrupt):
    """SIGTERM has ended a command that stops as on Ctrl-C. The command line exits with code 143."""

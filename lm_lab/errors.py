"""The one exception that stands for a mistake the user can mend."""


class UsageError(Exception):
    """A bad input: the message names the value, what was expected and how to fix it.

    The command line prints the message alone and exits with code 2; anything else is a bug and shows its
    traceback.
    """

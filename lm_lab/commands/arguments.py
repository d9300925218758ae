"""A parser of arguments whose mistakes are one line, as everywhere else: no dump of the usage."""

import argparse
from typing import NoReturn

from lm_lab.errors import UsageError


class Arguments(argparse.ArgumentParser):
    """argparse's, for a command that needs no jsonargparse, and for its subcommands."""

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError`."""
        raise UsageError(f"{message} (`{self.prog} --help` lists the options)")

"""`lm-lab COMMAND`: dispatch first, import inside the command, so that help is instant."""

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from lm_lab import __version__
from lm_lab.commands import COMMANDS, module_of
from lm_lab.commands.cached_help import with_cached_help
from lm_lab.config.mistakes import mistake
from lm_lab.errors import Terminated, UsageError
from lm_lab.nearest import did_you_mean

EXIT_USAGE, EXIT_INTERRUPTED, EXIT_TERMINATED = 2, 130, 143


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    return exit_code(lambda: _dispatch(args))


def exit_code(run: Callable[[], int | None]) -> int:
    """Run a program and return what it ends with: 2 for a mistake the user can mend, told in one line."""
    try:
        return run() or 0
    except KeyboardInterrupt as told:
        return _interrupted(EXIT_TERMINATED if isinstance(told, Terminated) else EXIT_INTERRUPTED)
    except SystemExit as stopped:
        if isinstance(stopped.__context__, KeyboardInterrupt):  # for which Lightning exits with 1
            return _interrupted(EXIT_INTERRUPTED)
        raise
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if (found := mistake(error)) is None:
            raise
        print(f"error: {found}", file=sys.stderr)
        return EXIT_USAGE


def _interrupted(code: int) -> int:
    print("interrupted: what is finished stays; the same command goes on", file=sys.stderr)
    return code


def _dispatch(args: list[str]) -> int:
    if not args or args[0] in {"-h", "--help", "help"}:
        print(_help(), flush=True)
        return 0 if args else EXIT_USAGE
    if args[0] in {"-V", "--version"}:
        print(f"lm-lab {__version__}")
        return 0
    if args[0] not in COMMANDS:
        listed = f"; the commands are: {', '.join(COMMANDS)}."
        raise UsageError(f"unknown command '{args[0]}'{did_you_mean(args[0], COMMANDS) or listed}")
    _quiet_environment()
    return with_cached_help(lambda: import_module(module_of(args[0])).main(args[1:]), args) or 0


def _quiet_environment() -> None:
    if "WANDB_SWEEP_ID" not in os.environ:  # an agent of a sweep is online, and waits for the score
        os.environ.setdefault("WANDB_MODE", "offline")  # online is the user's choice; without a network it hangs
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait in loops keep a busy machine from working


def _help() -> str:
    rows = "\n".join(f"  {name:<10} {text}" for name, text in COMMANDS.items())
    return (
        f"lm-lab {__version__}: how to adapt a language model, and what each choice costs\n\n"
        f"usage: lm-lab COMMAND ...\n\n{rows}\n\n"
        "`lm-lab COMMAND --help` tells more."
    )
